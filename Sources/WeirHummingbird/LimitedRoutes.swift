public import HTTPTypes
public import Hummingbird
public import Weir
public import WeirHTTP

/// Routes with a limit of their own. They are added to the router, or the group, that it was made from.
public struct LimitedRoutes<Context: RequestContext>: RouterMethods {
    private let group: RouterGroup<Context>
    private let limiter: RequestLimiter
    /// The path before its routes.
    private let prefix: RouterPath

    init(_ parent: any RouterMethods<Context>, _ middleware: RateLimitMiddleware<Context>) {
        limiter = middleware.limiter
        group = parent.group().add(middleware: middleware)
        prefix = Self.path(of: parent)
    }

    @discardableResult
    public func on<Responder: HTTPResponder>(
        _ path: RouterPath, method: HTTPRequest.Method, responder: Responder
    ) -> Self where Responder.Context == Context {
        let whole = prefix.appendingPath(path)
        // As a router keeps it that doesn't regard case, too.
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

    /// The path before a group's routes, which it doesn't show.
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
    /// Routes with a limit of their own.
    ///
    /// ```swift
    /// try router.limited("predict", to: .perMinute(20), by: .client, in: limiter).post("predict") { … }
    /// ```
    ///
    /// - Parameters:
    ///   - name: the limit's, 1 to 64 of `A-Za-z0-9_-`.
    ///   - rate: how much, and how often.
    ///   - key: whose budget it is; the client's unless told otherwise.
    ///   - limiter: gives the store and the policy's other settings.
    ///   - client: names the client when the app knows it; unless given, it is whom the middleware of the same limiter
    ///     around these routes was told of.
    ///   - denied: is told of each request that this limit denied; that middleware's is, too.
    /// - Throws: `PolicyError` when a limit of this name is there already.
    public func limited(
        _ name: String, to rate: Rate, by key: KeyDimension..., in limiter: RequestLimiter,
        client: (@Sendable (Request, Context) -> AppClient?)? = nil, denied: (@Sendable (Denial) -> Void)? = nil
    ) throws(PolicyError) -> LimitedRoutes<Context> {
        try limited(
            LimitRule(name, rate, by: key.isEmpty ? [.client] : key), in: limiter, client: client, denied: denied)
    }

    /// Routes with a limit of their own.
    public func limited(
        _ rule: LimitRule, in limiter: RequestLimiter, client: (@Sendable (Request, Context) -> AppClient?)? = nil,
        denied: (@Sendable (Denial) -> Void)? = nil
    ) throws(PolicyError) -> LimitedRoutes<Context> {
        LimitedRoutes(self, try RateLimitMiddleware(rule, in: limiter, client: client, denied: denied))
    }
}
