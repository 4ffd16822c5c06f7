import Weir
public import WeirHTTP

/// The rate limits of one request, as its handler sees them.
///
/// A response's body may still use them while it is written. After that, charges have no effect, and a check frees its
/// permit at once.
public struct RateLimit: Sendable {
    private let own: MiddlewareRequest?

    /// Creates the value of a request that has passed no middleware yet. In a context that is made of one that has, it
    /// finds the limits all the same.
    public init() { own = nil }

    init(_ request: MiddlewareRequest) { own = request }

    private var request: MiddlewareRequest? { own ?? MiddlewareState.enclosing?.request }
    private var handlerLimits: HandlerLimits? { request?.handlerLimits }

    /// The limits that apply to the request, each with what is left of it. Limits in shadow mode aren't among them.
    public var limits: [LimitStanding] { handlerLimits?.standings ?? [] }

    /// The number of requests of cost 1 that would still pass: the smallest of all limits. Nil when no limit applies.
    public var remaining: Int64? { limits.map(\.remaining).min() }

    /// Charges a cost that is known only here, in addition to what the request has cost already. It may put the client
    /// into debt.
    ///
    /// A limit whose cost is in the response (`cost: {response: …}`) takes the sum of all such charges for its cost and
    /// then reads nothing from the response.
    ///
    /// - Parameters:
    ///   - cost: 0 to 10^9. Numbers out of this range are brought into it.
    ///   - limit: the name of the limit to charge. If nil, limits whose cost is in the response are charged; if there
    ///     are none, all limits of the request but those on concurrency.
    public func charge(_ cost: Int64, to limit: String? = nil) {
        handlerLimits?.charge(min(max(0, cost), Rate.maximumCount), to: limit)
    }

    /// Checks a limit of the policy by its name, with a key of the app's choice, and charges it.
    ///
    /// ```swift
    /// try await context.rateLimit.check("password-reset", key: email)
    /// ```
    ///
    /// A limit with `match: none` applies only so. Its tiers, costs for one request and `on_store_failure` apply as
    /// for any other; its `key` doesn't. A permit of a concurrency limit is held until the response has ended, and a
    /// leaky bucket delays the call. What the request itself cost stays charged.
    ///
    /// - Parameters:
    ///   - name: the limit's name.
    ///   - key: the key that pays, such as an account or an address.
    ///   - cost: 1 to 10^9. Smaller numbers count as 1.
    /// - Throws: ``RateLimitDeniedError`` when the limit denies it; throw it on, and it becomes a 429 with the right
    ///   headers. `PolicyError` when the policy has no such limit, or when no ``RateLimitMiddleware`` is in front.
    public func check(_ name: String, key: String, cost: Int64 = 1) async throws {
        guard let request, request.handlerLimits != nil else { throw PolicyError.noMiddleware(name) }
        if let error = try await request.check(name, key: key, cost: cost) { throw error }
    }
}
