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
        self.init(try limiter.routeLimiter(rule), identifyClient: identifyClient, onDenied: onDenied)
    }
}
