public import Weir

/// A request that a limit denied, for logs and metrics. Nothing in it is a secret; the method and the path are as the
/// client made them up.
public struct Denial: Sendable, Hashable {
    /// The names of the limits that deny, in the policy's order.
    public var limits: [String]
    /// As sent: not fit to label a metric.
    public var method: String
    /// The app's own template, such as `/users/{id}`: few enough to label a metric. Nil when no route was found, and
    /// in a gateway.
    public var route: String?
    /// As the policy reads it, without the query.
    public var path: String
    /// A hash, 16 hexadecimal digits: the same for the same client while the process lives, and wherever the same
    /// `WEIR_KEY_SECRET` is set.
    public var client: String
    /// The client's own address, behind whatever proxies.
    public var address: IPAddress?
    public var tier: String?
    /// The reported limit's count.
    public var limit: Int64
    /// How many requests of cost 1 would still pass.
    public var remaining: Int64
    /// Microseconds; nil when waiting can't help.
    public var retryAfter: Ticks?
}

extension LimitedRequest {
    /// The record of this request's denial; nil when no limit denied it.
    ///
    /// - Parameters:
    ///   - method: as sent.
    ///   - route: the template of the app's router.
    package func denial(method: String, route: String? = nil) -> Denial? {
        guard let decision = reportedDecision, !decision.allowed else { return nil }
        return Denial(
            limits: violatedPolicies, method: method, route: route, path: path?.path ?? "", client: clientHash,
            address: clientAddress, tier: tier, limit: decision.limit, remaining: decision.remaining,
            retryAfter: decision.retryAfter)
    }
}
