public import HTTPTypes
public import Hummingbird
public import Weir
public import WeirHTTP

/// Routes with a limit of their own. Routes added here are registered on the router or group it was created from,
/// behind the limit.
public struct RateLimitedRoutes<Context: RequestContext>: RouterMethods {
    private let group: RouterGroup<Context>
    private let limiter: RequestLimiter
    /// The path in front of its routes.
    private let prefix: RouterPath

    init(_ parent: any RouterMethods<Context>, _ middleware: RateLimitMiddleware<Context>) {
        limiter = middleware.limiter
        group = parent.group().add(middleware: middleware)
        prefix = Self.path(of: parent)
    }

    /// Adds a route behind the limit.
    @discardableResult
    public func on<Responder: HTTPResponder>(
        _ path: RouterPath, method: HTTPRequest.Method, responder: Responder
    ) -> Self where Responder.Context == Context {
        let whole = prefix.appendingPath(path)
        // A router that ignores case keeps the path in lower case.
        for path in [whole, whole.lowercased()] { limiter.noteLimitedInCode(AppRoute(method.rawValue, "\(path)")) }
        group.on(path, method: method, responder: responder)
        return self
    }

    /// Adds a middleware behind the limit.
    @discardableResult
    public func add(middleware: any MiddlewareProtocol<Request, Response, Context>) -> Self {
        group.add(middleware: middleware)
        return self
    }

    /// The path in front of a group's routes. The group doesn't expose it, so it is read by reflection.
    private static func path(of parent: Any) -> RouterPath {
        if let limited = parent as? RateLimitedRoutes<Context> { return limited.prefix }
        let mirror = Mirror(reflecting: parent)
        guard let path = mirror.descendant("path") as? RouterPath, let outer = mirror.descendant("parent") else {
            return ""
        }
        return Self.path(of: outer).appendingPath(path)
    }
}

extension RouterMethods where Context: RemoteAddressRequestContext {
    /// Adds routes with a limit of their own.
    ///
    /// ```swift
    /// try router.rateLimited("predict", to: .perMinute(20), by: .client, using: limiter).post("predict") { … }
    /// ```
    ///
    /// - Parameters:
    ///   - name: the limit's name, 1 to 64 of `A-Za-z0-9_-`.
    ///   - rates: one or more windows, each a number of requests and a period.
    ///   - key: the key that each budget is kept for; the client by default.
    ///   - limiter: supplies the store and the policy's other settings.
    ///   - identifyClient: identifies a client that the app knows. By default, the client that the enclosing middleware
    ///     of the same limiter identified.
    ///   - onDenied: makes the app's own answers to requests that this limit denies. If it returns nil, the enclosing
    ///     middleware's handler is asked.
    /// - Throws: `PolicyError` when the name is already taken.
    public func rateLimited(
        _ name: String, to rates: Rate..., by key: KeyDimension..., using limiter: RequestLimiter,
        identifyClient: (@Sendable (Request, Context) -> AppClient?)? = nil,
        onDenied: RateLimitMiddleware<Context>.DenialHandler? = nil
    ) throws(PolicyError) -> RateLimitedRoutes<Context> {
        try rateLimited(
            LimitRule(name, rates, by: key.isEmpty ? [.client] : key), using: limiter, identifyClient: identifyClient,
            onDenied: onDenied)
    }

    /// Adds routes with a limit of their own, given as a rule.
    ///
    /// - Throws: `PolicyError` when the name is already taken or the rule is invalid.
    public func rateLimited(
        _ rule: LimitRule, using limiter: RequestLimiter,
        identifyClient: (@Sendable (Request, Context) -> AppClient?)? = nil,
        onDenied: RateLimitMiddleware<Context>.DenialHandler? = nil
    ) throws(PolicyError) -> RateLimitedRoutes<Context> {
        RateLimitedRoutes(
            self, try RateLimitMiddleware(rule, using: limiter, identifyClient: identifyClient, onDenied: onDenied))
    }
}
