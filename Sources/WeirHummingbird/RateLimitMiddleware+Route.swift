public import Hummingbird
public import WeirHTTP

extension RateLimitMiddleware {
    /// Limits a route, or a group of routes, by a limit of its own.
    ///
    /// A request that another ``RateLimitMiddleware`` of the same limiter let pass is charged there and here, or neither; its
    /// headers tell of both.
    ///
    /// - Parameters:
    ///   - rule: the limit; what it says of paths and methods must hold too.
    ///   - limiter: gives the store and the policy's other settings: who is asking, tiers, headers.
    ///   - client: names the client when the app knows it; unless given, it is whom the middleware of the same limiter
    ///     around this one was told of.
    ///   - denied: is told of each request that this limit denied; that middleware's is, too.
    /// - Throws: `PolicyError` when a limit of this name is there already.
    public init(
        _ rule: LimitRule, in limiter: RequestLimiter, client: (@Sendable (Request, Context) -> AppClient?)? = nil,
        denied: (@Sendable (Denial) -> Void)? = nil
    ) throws(PolicyError) where Context: RemoteAddressRequestContext {
        self.init(try limiter.routeLimiter(rule), client: client, denied: denied)
    }
}
