public import Weir

/// One request on its way through a ``RequestLimiter``: a state machine without I/O.
///
/// ``begin(_:on:peer:client:route:tier:cost:)`` gives a verdict at once, or says what it needs first; a `resume` then
/// continues. After the response, ``finish(isComplete:)`` charges the actual cost and frees permits; call it however
/// the request ends. One object serves one request after another, and from the second on allocates nothing. Use it on
/// one thread or event loop only.
public final class LimitedRequest {
    /// The next step. A later version may have more.
    @nonexhaustive
    public enum Step: Sendable {
        /// The cost is in the body. Read at most this many bytes, then call ``LimitedRequest/resume(body:)``.
        case needsBody(atMost: Int)
        /// A client is being looked up. Wait for the answer, then call ``LimitedRequest/resume(lookup:_:)``.
        case needsLookup(PendingAnswer<Result<LookupAnswer, StoreError>>)
        /// The store is deciding. Wait for the answer, then call ``LimitedRequest/resume(decisions:)``.
        case pending(PendingAnswer<DecisionResult>)
        /// All is decided.
        case verdict(Verdict)
    }

    /// The result of all limits for the request.
    ///
    /// A later version may have more.
    @nonexhaustive
    public enum Verdict: Sendable, Hashable {
        /// Pass it on, after holding it for `delay`, which is zero unless a leaky bucket delays it.
        case pass(delay: Duration)
        /// Answer it with ``ProblemDetails/status``, its body, and ``LimitedRequest/writeHeaders(to:)``.
        case answer(ProblemDetails)
    }

    /// How one limit took part.
    public struct Outcome: Sendable, Hashable {
        /// The limit's index in the policy.
        public var rule: Int
        /// Whether the limit allowed the request.
        public var allowed: Bool
        /// Whether the limit is in shadow mode, so that its denial doesn't stop the request.
        public var isShadow: Bool
        /// Whether the limit delays the request.
        public var isDelayed = false
    }

    package private(set) var limiter: RequestLimiter
    private var planned = PlannedRequest()
    private var charged = ChargedRequest()
    /// The request of an enclosing middleware, which was decided and passed. Limits that it decided are skipped here.
    /// Its headers are reported with this one's, and it is refunded when this one is denied.
    package var enclosing: LimitedRequest?

    /// Creates an object for requests to the limiter.
    public init(_ limiter: RequestLimiter) {
        self.limiter = limiter
    }

    deinit { finish(isComplete: false) }

    /// Starts a request.
    ///
    /// - Parameters:
    ///   - request: the request as received.
    ///   - limiter: the policy in force.
    ///   - peer: the address at the other end of the connection.
    ///   - client: the client that the app identified, if any.
    ///   - route: the route that the app's router found, if any.
    ///   - tier: overrides the policy's tier.
    ///   - cost: overrides the policy's costs; 0 checks without charging.
    public func begin(
        _ request: some LimitableRequest,
        on limiter: RequestLimiter,
        peer: IPAddress,
        client: AppClient? = nil,
        route: MatchedRoute? = nil,
        tier: String? = nil,
        cost: Int64? = nil
    ) -> Step {
        begin(request, on: limiter, peer: peer, client: client, route: route, tier: tier, cost: cost, isFree: false)
    }

    /// Does the same.
    ///
    /// - Parameter isFree: whether the app frees the route of all limits.
    @inline(__always)
    package func begin(
        _ request: some LimitableRequest, on limiter: RequestLimiter, peer: IPAddress, client: AppClient?,
        route: MatchedRoute?, tier: String? = nil, cost: Int64? = nil, isFree: Bool
    ) -> Step {
        reset(limiter)
        planned.isFree = isFree
        return go(
            on: planned.begin(
                request, on: limiter, peer: peer, client: client, route: route, tier: tier, cost: cost,
                enclosing: enclosing, into: &charged))
    }

    /// Starts a check of one limit by its name, for a request that this limiter let pass.
    ///
    /// - Parameters:
    ///   - rule: the limit's index in the policy.
    ///   - key: the key that pays, of the app's choice.
    ///   - cost: 1 to 10^9. Smaller numbers count as 1.
    ///   - asker: the request in which the limit is checked. Its client's tier and address apply.
    package func beginCheck(rule: Int, key: String, cost: Int64, for asker: CheckAsker) -> Step {
        reset(limiter)
        return go(on: planned.beginCheck(rule: rule, key: key, cost: cost, for: asker, on: limiter, into: &charged))
    }

    /// This request, as one in which limits are checked by their name.
    package var asker: CheckAsker { planned.asker }

    /// Continues with a request whose client was looked up.
    ///
    /// - Parameters:
    ///   - answer: the lookup's result. A client whose lookup failed counts as unknown.
    ///   - request: the same request as at the start.
    public func resume(
        lookup answer: Result<LookupAnswer, StoreError>, _ request: some LimitableRequest
    ) -> Step {
        let answer = (try? answer.get()) ?? .unknown
        return go(
            on: planned.resume(lookup: answer, request, on: limiter, enclosing: enclosing, into: &charged))
    }

    /// Continues with a request whose cost is in its body.
    public func resume(body: ReceivedBody) -> Step {
        go(on: planned.resume(body: body, on: limiter, into: &charged))
    }

    /// Continues with a request once the store has answered or failed.
    public func resume(decisions result: DecisionResult) -> Verdict {
        charged.conclude(result, on: limiter, costOverride: planned.costOverride)
    }

    @inline(__always)
    private func go(on step: PlannedRequest.Step) -> Step {
        switch step {
        case .ready:
            if let pending = charged.ask(limiter) { return .pending(pending) }
            return .verdict(charged.conclude(on: limiter, costOverride: planned.costOverride))
        case .passes: return .verdict(.pass(delay: .zero))
        case .answered(let problem): return .verdict(.answer(problem))
        case .needsBody(let most):
            if let denial = charged.denyUnread(on: limiter) { return .verdict(denial) }
            return .needsBody(atMost: most)
        case .needsLookup(let answer): return .needsLookup(answer)
        }
    }

    /// Forgets the previous request. Without this, an answer to a request that couldn't be parsed would carry its
    /// headers.
    public func clear() { clear(for: limiter) }

    /// Does the same as ``clear()``, for an answer by a different policy.
    package func clear(for limiter: RequestLimiter) {
        reset(limiter)
        enclosing = nil
    }

    private func reset(_ limiter: RequestLimiter) {
        finish(isComplete: false)
        if self.limiter !== limiter {
            self.limiter = limiter
            charged.forgetPolicies()
        }
        planned.clear()
        charged.clear()
    }
}

// MARK: what the request is

extension LimitedRequest {
    /// The path that was matched, which is the path to forward; nil when the request was rejected for it.
    public var path: RequestPath? { planned.path }

    /// The client's own address, behind any proxies.
    public var clientAddress: IPAddress? { planned.identity?.address }

    /// The client's tier; nil when it has none or isn't known yet.
    public var tier: String? { planned.identity?.tier }

    /// Whether the request carries the bypass secret.
    package var isBypassed: Bool { planned.isBypassed }

    /// The origin of the requesting page, if it is cross-origin and Weir itself says who may read its answers.
    var origin: String? { planned.origin }

    /// A hash that identifies the client in logs, 16 hexadecimal digits. It stays the same for one client within a
    /// process, and across processes with the same `WEIR_KEY_SECRET`.
    public var clientHash: String {
        let digits = String(clientHashValue, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }

    /// The same hash as a number.
    package var clientHashValue: UInt64 { planned.identity.map { limiter.clientHasher.clientHash(of: $0) } ?? 0 }

    /// Whether the request passed without a limit, because it is exempt or carries the bypass secret.
    package var passedUnlimited: Bool { planned.passedUnlimited }

    func hasDecided(_ name: String) -> Bool {
        charged.includes(name, on: limiter) || enclosing?.hasDecided(name) == true
    }
}

// MARK: what was decided

extension LimitedRequest {
    /// Whether the store failed for this request, so that it was decided without the store.
    public var storeFailed: Bool { charged.storeFailed }

    /// Whether the response has headers about limits.
    public var isLimited: Bool { charged.reported != nil }

    /// The decision that is reported: the denying limit's, or else the one with the least left.
    public var reportedDecision: Decision? { charged.reported.map { charged.decisions[$0] } }

    /// The denial of a limit in shadow mode; nil when it allowed.
    func shadowDecision(rule: Int) -> Decision? { charged.shadowDecision(rule: rule) }

    /// The limits that took part here and are enforced, as an app's handler may charge them.
    package var chargeableLimits: [ChargeableLimit] { charged.chargeableLimits(on: limiter) }

    /// Says what the request costs a limit whose cost is in its response. Nothing is then read from the response.
    ///
    /// - Parameters:
    ///   - units: 0 to 10^9.
    ///   - name: the limit.
    package func state(_ units: Int64, for name: String) {
        charged.state(min(max(0, units), Rate.maximumCount), for: name, on: limiter)
    }

    /// The reported limit's index in the policy.
    public var reportedRule: Int? { charged.reported.map { charged.parts[$0].rule } }

    /// The names of the limits that deny, in the policy's order, each once.
    public var violatedPolicies: [String] { charged.violatedPolicies(on: limiter) }

    /// Calls `body` with the outcome of each limit that took part; a limit of several windows counts once.
    public func forEachOutcome(_ body: (Outcome) -> Void) { charged.forEachOutcome(body) }

    /// Writes the limit headers, if the response has any, including those of an enclosing limiter.
    ///
    /// - Parameter add: called with each header's name, as the policy spells it, and its value.
    public func writeHeaders(to add: (String, String) -> Void) {
        let settings = limiter.headers.settings
        writeHeaders { (header: LimitHeader, value) in add(settings.name(of: header), value) }
    }

    /// Does the same for callers that already know the names.
    package func writeHeaders(to add: (LimitHeader, String) -> Void) {
        guard isLimited, let report = innermostReport() else { return }
        limiter.headers.write(policies: allPolicies(), report, to: add)
    }

    private func innermostReport() -> LimitHeaders.Report? {
        let outer = enclosing?.innermostReport()
        guard let own = charged.report else { return outer }
        if let outer, !own.decision.isReported(before: outer.decision) { return outer }
        return own
    }

    private func allPolicies() -> String {
        guard let enclosing, enclosing.isLimited else { return charged.policies() }
        return "\(enclosing.allPolicies()), \(charged.policies())"
    }
}

// MARK: how it ends

extension LimitedRequest {
    /// Whether the end of the response matters: a cost depends on it, or it frees a permit.
    package var mustFinish: Bool { charged.mustFinish }

    /// Whether the response must be passed to this object, because a cost is in it.
    public var metersResponse: Bool { charged.metersResponse }

    /// Whether the response's body must be passed to this object, because a cost is in it.
    public var metersBody: Bool { charged.metersBody }

    /// Reads the response's head, for costs that depend on it.
    ///
    /// - Parameters:
    ///   - status: the response's status, 100 to 599.
    ///   - header: returns all values of a response header.
    public func responseHead(status: Int, header: (String) -> [String]) {
        charged.responseHead(status: status, header: header)
    }

    /// Charges the highest configured cost: there will be a response, but its status isn't known yet.
    package func responseFailed() { charged.responseFailed() }

    /// Reads a part of the response's body.
    public func responseBody(_ bytes: UnsafeRawBufferPointer) { charged.responseBody(bytes) }

    /// Ends the request: charges or refunds the difference to its actual cost, and frees its permits. Later calls do
    /// nothing.
    ///
    /// - Parameter isComplete: whether the whole response was seen. A response that broke off pays at least the
    ///   reserve. If its cost can't be known, it pays the policy's `default`.
    public func finish(isComplete: Bool) { finish(isComplete: isComplete, reachedUpstream: true) { _, _ in } }

    /// As ``finish(isComplete:)``, for a request of a log. A cost that the log doesn't tell is what the request
    /// reserved, or the policy's `default` if it reserved nothing.
    package func finishFromLog(isComplete: Bool) {
        charged.finish(isComplete: isComplete, reachedUpstream: true, isUntold: true, on: limiter) { _, _ in }
    }

    /// As ``finish(isComplete:)``, for a server.
    ///
    /// - Parameters:
    ///   - reachedUpstream: whether the request was sent on. One that never was costs nothing.
    ///   - unknown: called with each limit whose cost the response should have said and did not, and the reason.
    package func finish(
        isComplete: Bool, reachedUpstream: Bool, unknown: (_ rule: Int, _ reason: String) -> Void
    ) {
        for rule in planned.unreadable { unknown(rule, planned.bodyIsUnreadable ? "request_body" : "request") }
        planned.forgetUnreadable()
        charged.finish(isComplete: isComplete, reachedUpstream: reachedUpstream, on: limiter) {
            unknown($0, $1.rawValue)
        }
    }

    /// Refunds everything charged, here and in the enclosing request. It is for a request that passed but was then
    /// denied by a different limit, or that Weir itself could not serve.
    package func withdraw() {
        enclosing?.withdraw()
        charged.withdraw(on: limiter)
    }

    /// Handles a store's answer that came after the request ended: frees permits.
    public func abandon(decisions result: DecisionResult) {
        charged.abandon(result, on: limiter, costOverride: planned.costOverride)
    }
}
