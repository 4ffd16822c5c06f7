public import Hummingbird
public import WeirHTTP

extension RateLimitMiddleware {
    /// Limits a route, or a group of routes, by a limit of its own.
    ///
    /// When an enclosing ``RateLimitMiddleware`` of the same limiter let the request pass, it is charged by both or by
    /// neither. Its headers report both.
    ///
    /// - Parameters:
    ///   - rule: the limit. Its conditions on paths and methods apply too.
    ///   - limiter: supplies the store and the policy's other settings: client sources, tiers, headers.
    ///   - identifyClient: identifies a client that the app knows. By default, the client that the enclosing middleware
    ///     of the same limiter identified.
    ///   - onDenied: makes the app's own answers to requests that this limit denies. If it returns nil, the enclosing
    ///     middleware's handler is asked.
    /// - Throws: `PolicyError` when the name is already taken or the rule is invalid.
    public init(
        _ rule: LimitRule, using limiter: RequestLimiter,
        identifyClient: (@Sendable (Request, Context) -> AppClient?)? = nil,
        onDenied: DenialHandler? = nil
    ) throws(PolicyError) where Context: RemoteAddressRequestContext {
        try limiter.addRouteLimit(rule)
        self.init(
            MiddlewareState(limiter, .rule(rule)), peer: { $0.remoteAddress }, identifyClient: identifyClient,
            onDenied: onDenied)
    }

    /// Limits a route, or a group of routes, by a limit of the policy. All of their requests count, whatever the
    /// limit's `match` says; with `match: none`, only they do.
    ///
    /// - Parameters:
    ///   - name: the limit's name.
    ///   - limiter: the policy and its store.
    ///   - identifyClient: identifies a client that the app knows. By default, the client that the enclosing middleware
    ///     of the same limiter identified.
    ///   - onDenied: makes the app's own answers to requests that this limit denies. If it returns nil, the enclosing
    ///     middleware's handler is asked.
    /// - Throws: `PolicyError` when the policy has no such limit.
    public init(
        limit name: String, using limiter: RequestLimiter,
        identifyClient: (@Sendable (Request, Context) -> AppClient?)? = nil, onDenied: DenialHandler? = nil
    ) throws(PolicyError) where Context: RemoteAddressRequestContext {
        _ = try limiter.current.attachable(name)
        limiter.attach(name)
        self.init(
            MiddlewareState(limiter, .named(name)), peer: { $0.remoteAddress }, identifyClient: identifyClient,
            onDenied: onDenied)
    }
}
