public import Weir

/// One request on its way through a ``RequestLimiter``: a state machine without I/O.
///
/// ``begin(_:on:peer:client:route:tier:cost:)`` gives a verdict at once, or says what it needs first; a `resume` goes
/// on. After the response, ``finish(isComplete:)`` settles what the request really cost and gives its permits back; call
/// it on every way in which a request can end. One object serves one request after another, and then allocates nothing.
/// It belongs to one thread or event loop.
public final class LimitedRequest {
    /// What comes next.
    public enum Step: Sendable {
        /// The cost is in the body: read up to so many bytes, then ``LimitedRequest/resume(body:)``.
        case needsBody(atMost: Int)
        /// A client is being looked up: when that is answered, ``LimitedRequest/resume(lookup:_:)``.
        case needsLookup(PendingAnswer<Result<LookupAnswer, StoreFailure>>)
        /// The store will answer: then ``LimitedRequest/resume(decisions:)``.
        case pending(PendingAnswer<DecisionResult>)
        case verdict(Verdict)
    }

    /// What to do with the request.
    public enum Verdict: Sendable, Hashable {
        /// Pass it on, after holding it for so many microseconds.
        case pass(delay: Timestamp)
        /// Answer it: ``ProblemDetails/status`` and body, with ``LimitedRequest/writeHeaders(to:)``.
        case answer(ProblemDetails)
    }

    /// How one limit took part.
    public struct Outcome: Sendable, Hashable {
        /// The limit's place in the policy.
        public var rule: Int
        public var allowed: Bool
        public var isShadow: Bool
    }

    private(set) var limiter: RequestLimiter
    private var planned = PlannedRequest()
    private var charged = ChargedRequest()
    /// The request of a middleware around the one of this, which has been decided and passed. What it decided isn't
    /// decided again, its headers are told with this one's, and it gets back its charge when this one is denied.
    package var enclosing: LimitedRequest?

    public init(_ limiter: RequestLimiter) {
        self.limiter = limiter
    }

    deinit { finish(isComplete: false) }

    /// Starts a request.
    ///
    /// - Parameters:
    ///   - request: as it came.
    ///   - limiter: the policy in force.
    ///   - peer: the address at the other end of the connection.
    ///   - client: the client that the app has identified, if it has.
    ///   - route: the route that the app's router found, if there is one.
    ///   - tier: overrides the policy's tier.
    ///   - cost: overrides the policy's costs; 0 is a peek.
    public func begin(
        _ request: some LimitableRequest,
        on limiter: RequestLimiter,
        peer: IPAddress,
        client: AppClient? = nil,
        route: MatchedRoute? = nil,
        tier: String? = nil,
        cost: Int64? = nil
    ) -> Step {
        reset(limiter)
        return go(
            on: planned.begin(
                request, on: limiter, peer: peer, client: client, route: route, tier: tier, cost: cost,
                enclosing: enclosing, into: &charged))
    }

    /// Goes on with a request whose client was looked up.
    ///
    /// - Parameters:
    ///   - answer: what the lookup found. A client whose lookup failed counts as unknown.
    ///   - request: the same as at the beginning.
    public func resume(
        lookup answer: Result<LookupAnswer, StoreFailure>, _ request: some LimitableRequest
    ) -> Step {
        let answer = (try? answer.get()) ?? .unknown
        return go(
            on: planned.resume(lookup: answer, request, on: limiter, enclosing: enclosing, into: &charged))
    }

    /// Goes on with a request whose cost is in its body.
    public func resume(body: RequestBody) -> Step {
        go(on: planned.resume(body: body, on: limiter, into: &charged))
    }

    /// Goes on with a request that waited for the store, or for which the store failed.
    public func resume(decisions result: DecisionResult) -> Verdict {
        charged.conclude(result, on: limiter, costOverride: planned.costOverride)
    }

    @inline(__always)
    private func go(on step: PlannedRequest.Step) -> Step {
        switch step {
        case .ready:
            if let pending = charged.ask(limiter) { return .pending(pending) }
            return .verdict(charged.conclude(on: limiter, costOverride: planned.costOverride))
        case .passes: return .verdict(.pass(delay: 0))
        case .answered(let problem): return .verdict(.answer(problem))
        case .needsBody(let most): return .needsBody(atMost: most)
        case .needsLookup(let answer): return .needsLookup(answer)
        }
    }

    /// Forgets the request before, so that an answer to one that was never understood says nothing about it.
    public func clear() {
        reset(limiter)
        enclosing = nil
    }

    /// As ``clear()``, for an answer by another policy.
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

    /// The client's own address, behind whatever proxies.
    public var clientAddress: IPAddress? { planned.identity?.address }

    public var tier: String? { planned.identity?.tier }

    /// Whether the bypass secret came with it.
    package var isBypassed: Bool { planned.isBypassed }

    /// The origin of the page that asks, if it is another's.
    var origin: String? { planned.origin }

    /// A hash that names the client in logs, 16 hexadecimal digits: the same for the same client while the process
    /// lives, and wherever the same `WEIR_KEY_SECRET` is set.
    public var clientHash: String {
        let digits = String(clientHashValue, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }

    /// The same as a number.
    package var clientHashValue: UInt64 { planned.identity.map { limiter.clientHasher.clientHash(of: $0) } ?? 0 }

    func hasDecided(_ name: String) -> Bool {
        charged.includes(name, on: limiter) || enclosing?.hasDecided(name) == true
    }
}

// MARK: what was decided

extension LimitedRequest {
    /// Whether the store failed for this request, so that it was decided without.
    public var storeFailed: Bool { charged.storeFailed }

    /// Whether the response has headers about limits.
    public var isLimited: Bool { charged.reported != nil }

    /// The decision that is reported: the denying limit's, or the one closest to its limit.
    public var reportedDecision: Decision? { charged.reported.map { charged.decisions[$0] } }

    /// Where the reported limit stands in the policy.
    public var reportedRule: Int? { charged.reported.map { charged.parts[$0].rule } }

    /// The names of the limits that deny, in the policy's order, each once.
    public var violatedPolicies: [String] { charged.violatedPolicies(on: limiter) }

    /// Calls `body` with the outcome of each limit that took part; a limit of several windows counts once.
    public func forEachOutcome(_ body: (Outcome) -> Void) { charged.forEachOutcome(body) }

    /// Writes the headers about limits, if the response has any: those of a limiter around this one are among them.
    ///
    /// - Parameter add: takes a header's name, as the policy calls it, and its value.
    public func writeHeaders(to add: (String, String) -> Void) {
        let settings = limiter.headers.settings
        writeHeaders { (header: LimitHeader, value) in add(settings.name(of: header), value) }
    }

    /// The same, for callers that know the names already.
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
    /// Whether the end of the response matters: a cost is in it, or it frees a permit.
    package var mustFinish: Bool { charged.mustFinish }

    /// Whether the response must be shown to this object, because a cost is in it.
    public var metersResponse: Bool { charged.metersResponse }

    /// Whether the response's body must be shown, because a cost is in it.
    public var metersBody: Bool { charged.metersBody }

    /// Looks at the response's head, for costs that depend on it.
    ///
    /// - Parameters:
    ///   - status: 100 to 599.
    ///   - header: all values of a response header.
    public func responseHead(status: Int, header: (String) -> [String]) {
        charged.responseHead(status: status, header: header)
    }

    /// There will be a response, but nobody knows its status yet: it costs what the dearest status costs.
    package func responseFailed() { charged.responseFailed() }

    /// Looks at a part of the response's body.
    public func responseBody(_ bytes: UnsafeRawBufferPointer) { charged.responseBody(bytes) }

    /// Ends the request: charges or gives back what its response showed, and frees its permits. Later calls do nothing.
    ///
    /// - Parameter isComplete: whether the whole response was seen. One that broke off pays at least the reserve and,
    ///   where the cost can't be known, the policy's `default`.
    public func finish(isComplete: Bool) { charged.finish(isComplete: isComplete, on: limiter) }

    /// Gives back everything that was charged, here and around here: another limit denied the request after this had
    /// let it pass, or Weir itself could not serve it.
    package func withdraw() {
        enclosing?.withdraw()
        charged.withdraw(on: limiter)
    }

    /// Takes a store's answer that came when nobody waited any more: gives permits back.
    public func abandon(decisions result: DecisionResult) {
        charged.abandon(result, on: limiter, costOverride: planned.costOverride)
    }
}
