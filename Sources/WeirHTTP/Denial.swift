import Weir

/// A request that Weir answers itself: one that a limit denied, or that an access rule, a cost above `max`, an
/// unreadable path or a failing store stops.
///
/// It contains no secrets, but the method and the path are the client's own input.
public struct Denial: Sendable, Hashable {
    /// The status of Weir's answer: 429 when a limit denied the request, else 400, 403, 413 or 503.
    public var status: Int
    /// What Weir's answer says to people.
    public var detail: String
    /// The names of the limits that denied it, in the policy's order; empty unless ``status`` is 429.
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
    /// The reported limit's number of units; nil when no limit decided.
    public var limit: Int64?
    /// The number of requests of cost 1 that would still pass; nil when no limit decided.
    public var remaining: Int64?
    /// The time to wait before a retry; nil when waiting can't help.
    public var retryAfter: Duration?

    /// Creates a denial, for tests of an app's own answers.
    public init(
        status: Int = 429, detail: String = "", limits: [String] = [], method: String = "GET", route: String? = nil,
        path: String = "/", client: String = "", address: IPAddress? = nil, tier: String? = nil, limit: Int64? = nil,
        remaining: Int64? = nil, retryAfter: Duration? = nil
    ) {
        self.status = status
        self.detail = detail
        self.limits = limits
        self.method = method
        self.route = route
        self.path = path
        self.client = client
        self.address = address
        self.tier = tier
        self.limit = limit
        self.remaining = remaining
        self.retryAfter = retryAfter
    }
}

extension LimitedRequest {
    /// The record of this request's denial.
    ///
    /// - Parameters:
    ///   - problem: what Weir answers.
    ///   - method: the method as sent.
    ///   - route: the template from the app's router.
    package func denial(_ problem: ProblemDetails, method: String, route: String? = nil) -> Denial {
        denial(problem, limits: violatedPolicies, reportedDecision, method: method, route: route)
    }

    /// The record of a denial that didn't happen, because its limit is in shadow mode; nil when the limit allowed.
    ///
    /// - Parameter rule: the limit's index in the policy.
    package func shadowDenial(rule: Int, method: String, route: String? = nil) -> Denial? {
        guard let decision = shadowDecision(rule: rule) else { return nil }
        let limits = [limiter.limitNames[rule]]
        return denial(
            .quotaExceeded(limits, retryAfter: LimitHeaders.seconds(decision)), limits: limits, decision,
            method: method, route: route)
    }

    private func denial(
        _ problem: ProblemDetails, limits: [String], _ decision: Decision?, method: String, route: String?
    ) -> Denial {
        Denial(
            status: problem.status, detail: problem.detail, limits: limits, method: method, route: route,
            path: path?.path ?? "", client: clientHash, address: clientAddress, tier: tier, limit: decision?.quota,
            remaining: decision?.remaining, retryAfter: decision?.retryAfter)
    }
}
