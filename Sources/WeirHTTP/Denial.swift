public import Weir

/// A request that a limit denied, for logs and metrics. It contains no secrets, but the method and the path are the
/// client's own input.
public struct Denial: Sendable, Hashable {
    /// The names of the limits that denied it, in the policy's order.
    public var limits: [String]
    /// The method as sent. Don't label metrics with it: clients choose its values.
    public var method: String
    /// The app's route template, such as `/users/{id}`. There are few enough to label a metric. Nil when no route was
    /// found, and in a gateway.
    public var route: String?
    /// The path as the policy reads it, without the query.
    public var path: String
    /// A hash of the client, 16 hexadecimal digits. It stays the same for one client within a process, and across
    /// processes with the same `WEIR_KEY_SECRET`.
    public var client: String
    /// The client's own address, behind any proxies.
    public var address: IPAddress?
    /// The client's tier; nil when it has none.
    public var tier: String?
    /// The reported limit's number of units.
    public var limit: Int64
    /// The number of requests of cost 1 that would still pass.
    public var remaining: Int64
    /// The time to wait before a retry, in microseconds; nil when waiting can't help.
    public var retryAfter: Ticks?
}

extension LimitedRequest {
    /// The record of this request's denial; nil when no limit denied it.
    ///
    /// - Parameters:
    ///   - method: the method as sent.
    ///   - route: the template from the app's router.
    package func denial(method: String, route: String? = nil) -> Denial? {
        guard let decision = reportedDecision, !decision.allowed else { return nil }
        return Denial(
            limits: violatedPolicies, method: method, route: route, path: path?.path ?? "", client: clientHash,
            address: clientAddress, tier: tier, limit: decision.limit, remaining: decision.remaining,
            retryAfter: decision.retryAfter)
    }

    /// The record of a denial that didn't happen, because its limit is in shadow mode; nil when the limit allowed.
    ///
    /// - Parameter rule: the limit's index in the policy.
    package func shadowDenial(rule: Int, method: String) -> Denial? {
        guard let decision = shadowDecision(rule: rule) else { return nil }
        return Denial(
            limits: [limiter.limitNames[rule]], method: method, path: path?.path ?? "", client: clientHash,
            address: clientAddress, tier: tier, limit: decision.limit, remaining: decision.remaining,
            retryAfter: decision.retryAfter)
    }
}
