public import Hummingbird
public import Weir
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
    ///   - client: names the client when the app knows it.
    /// - Throws: ``WeirHTTP/PolicyError`` when a limit of this name is there already.
    public init(
        _ rule: LimitRule, in limiter: RequestLimiter, client: (@Sendable (Request, Context) -> AppClient?)? = nil
    ) throws(PolicyError) where Context: RemoteAddressRequestContext {
        self.init(try limiter.routeLimiter(rule), client: client)
    }
}

extension RouterMethods where Context: RemoteAddressRequestContext {
    /// A group of routes with a limit of their own.
    ///
    /// ```swift
    /// try router.limited("predict", to: .perMinute(20), by: .client, in: limiter).post("predict") { … }
    /// ```
    ///
    /// - Parameters:
    ///   - name: the limit's, 1 to 64 of `A-Za-z0-9_-`.
    ///   - rate: how much, and how often.
    ///   - key: whose budget it is.
    ///   - limiter: gives the store and the policy's other settings.
    ///   - client: names the client when the app knows it.
    /// - Throws: ``WeirHTTP/PolicyError`` when a limit of this name is there already.
    public func limited(
        _ name: String, to rate: Rate, by key: KeyDimension..., in limiter: RequestLimiter,
        client: (@Sendable (Request, Context) -> AppClient?)? = nil
    ) throws(PolicyError) -> RouterGroup<Context> {
        try limited(LimitRule(name, rate, by: key.isEmpty ? [.client] : key), in: limiter, client: client)
    }

    /// A group of routes with a limit of their own.
    public func limited(
        _ rule: LimitRule, in limiter: RequestLimiter, client: (@Sendable (Request, Context) -> AppClient?)? = nil
    ) throws(PolicyError) -> RouterGroup<Context> {
        group().add(middleware: try RateLimitMiddleware(rule, in: limiter, client: client))
    }
}
