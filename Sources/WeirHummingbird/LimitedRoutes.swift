public import HTTPTypes
public import Hummingbird
public import Weir
public import WeirHTTP

/// Routes with a limit of their own. Routes added here are registered on the router or group it was created from,
/// behind the limit.
public struct LimitedRoutes<Context: RequestContext>: RouterMethods {
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
        if let limited = parent as? LimitedRoutes<Context> { return limited.prefix }
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
    /// try router.limited("predict", to: .perMinute(20), by: .client, in: limiter).post("predict") { … }
    /// ```
    ///
    /// - Parameters:
    ///   - name: the limit's name, 1 to 64 of `A-Za-z0-9_-`.
    ///   - rate: the number of requests and the period.
    ///   - key: the key that each budget is kept for; the client by default.
    ///   - limiter: supplies the store and the policy's other settings.
    ///   - client: identifies a client that the app knows. By default, the client that the enclosing middleware of the
    ///     same limiter identified.
    ///   - onDenied: makes the app's own answers to requests that this limit denies. If it returns nil, the enclosing
    ///     middleware's handler is asked.
    /// - Throws: `PolicyError` when the name is already taken.
    public func limited(
        _ name: String, to rate: Rate, by key: KeyDimension..., in limiter: RequestLimiter,
        client: (@Sendable (Request, Context) -> AppClient?)? = nil,
        onDenied: RateLimitMiddleware<Context>.DenialHandler? = nil
    ) throws(PolicyError) -> LimitedRoutes<Context> {
        try limited(
            LimitRule(name, rate, by: key.isEmpty ? [.client] : key), in: limiter, client: client, onDenied: onDenied)
    }

    /// Adds routes with a limit of their own, given as a rule.
    ///
    /// - Throws: `PolicyError` when the name is already taken or the rule is invalid.
    public func limited(
        _ rule: LimitRule, in limiter: RequestLimiter, client: (@Sendable (Request, Context) -> AppClient?)? = nil,
        onDenied: RateLimitMiddleware<Context>.DenialHandler? = nil
    ) throws(PolicyError) -> LimitedRoutes<Context> {
        LimitedRoutes(self, try RateLimitMiddleware(rule, in: limiter, client: client, onDenied: onDenied))
    }
}
