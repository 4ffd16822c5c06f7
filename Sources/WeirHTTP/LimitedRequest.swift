public import Weir

/// One request on its way through a ``RequestLimiter``: a state machine without I/O.
///
/// ``begin(_:on:peer:client:route:tier:cost:)`` gives a verdict at once, or says what it needs first; a `resume` goes on. After the
/// response, ``finish(isComplete:)`` settles what the request really cost and gives its permits back; it must be
/// called on every way in which a request can end. One object serves one request after another, and then allocates
/// nothing. It belongs to one thread or event loop.
public final class LimitedRequest {
    /// What comes next.
    public enum Step: Sendable {
        /// The cost is in the body: read up to so many bytes, then ``LimitedRequest/resume(body:)``.
        case needsBody(atMost: Int)
        /// A client is being looked up: when that is answered, the same request begins again.
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
        case refuse(ProblemDetails)
    }

    /// How one limit took part.
    public struct Outcome: Sendable, Hashable {
        /// The limit's place in the policy.
        public var rule: Int
        public var allowed: Bool
        public var isShadow: Bool
    }

    /// Which window of which limit a charge is for.
    struct Part {
        var rule: Int
        var window: LimitPlan.Window
        var isWarm: Bool

        /// Tells the text of this part in `RateLimit-Policy` from that of other windows, tiers and warmth.
        var policyMark: Int {
            Int(truncatingIfNeeded: window.seed) ^ Int(truncatingIfNeeded: window.limit.numbers.count) &* 31
                ^ (isWarm ? 1 : 0)
        }
    }

    private struct Cost {
        var units: Int64
        /// What must be left for the request to pass.
        var required: Int64
    }

    var limiter: RequestLimiter
    private(set) var identity: Identity?
    /// The path that was matched, which is the path to forward; nil when the request was refused for it.
    public private(set) var path: RequestPath?
    private var matched: [MatchedRule] = []
    private var costs: [Cost] = []
    var costOverride: Int64?
    var parts: [Part] = []
    var charges: [Charge] = []
    var decisions: [Decision] = []
    private var dimensions: [UInt64] = []
    var meters: [(part: Int, meter: ResponseMeter?)] = []
    /// Whether the response's body must be shown, because a cost is in it.
    public internal(set) var metersBody = false
    var origin: String?
    /// The charge whose numbers are reported; nil when no enforced limit applies.
    var reported: Int?
    /// The request of a middleware around the one of this, which has been decided and passed.
    package var enclosing: LimitedRequest?
    /// The same before this one begins: what was decided there isn't decided again.
    package var around: LimitedRequest?
    /// Whether the bypass's secret came with it.
    package private(set) var isBypassed = false
    var policiesText = ""
    var policiesFor: [Int] = []

    public init(_ limiter: RequestLimiter) {
        self.limiter = limiter
    }

    // MARK: identify -> match -> cost -> decide

    /// Starts a request.
    ///
    /// - Parameters:
    ///   - request: as it came.
    ///   - limiter: the policy in force.
    ///   - peer: the address at the other end of the connection.
    ///   - client: whom the app has identified, if it has.
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
        costOverride = cost
        let path: RequestPath
        do {
            path = try RequestPath(request.target, lenient: limiter.policy.lenientPaths)
        } catch {
            return .verdict(
                .refuse(ProblemDetails(status: 400, title: "Bad Request", detail: "The request has \(error.reason).")))
        }
        let text = path.path
        let host = limiter.readsHost ? (path.authority ?? request.host).map(RequestFacts.hostName) : nil
        self.path = consume path
        var lookup: ClientIdentifier.Pending?
        let identity = limiter.identifier.identify(
            request, peer: peer, client: client, tier: tier, pending: &lookup)
        if let lookup { return .needsLookup(lookup) }
        let facts = RequestFacts(
            sentMethod: request.method, path: text, host: host, tier: identity.tier, address: identity.address,
            route: route)
        self.identity = consume identity
        origin = request.onlyValue(of: "Origin")
        let isPreflight = origin != nil && request.method == "OPTIONS" && request.has("Access-Control-Request-Method")
        if let refusal = checkAccess(request, facts, isPreflight) { return .verdict(.refuse(refusal)) }
        isBypassed = bypasses(request) || around?.isBypassed == true
        if isPreflight || isExempt(request, facts) || isBypassed { return .verdict(.pass(delay: 0)) }
        limiter.limits.find(request, facts, into: &matched)
        if let around { matched.removeAll { around.hasDecided(limiter.plans[$0.rule].rule.name) } }
        if matched.isEmpty { return .verdict(.pass(delay: 0)) }
        return findCosts(request, facts)
    }

    private func hasDecided(_ name: String) -> Bool {
        parts.contains { limiter.plans[$0.rule].rule.name == name } || around?.hasDecided(name) == true
    }

    private func checkAccess(_ request: some LimitableRequest, _ facts: RequestFacts, _ isPreflight: Bool)
        -> ProblemDetails?
    {
        guard !limiter.access.isEmpty else { return nil }
        limiter.access.find(request, facts, into: &matched)
        for match in matched {
            let tiers = limiter.policy.access[match.rule].tiers
            // A preflight carries no credentials, so it can't be of any tier.
            if tiers != nil, isPreflight { continue }
            if let tiers, let tier = facts.tier, tiers.contains(tier) { continue }
            return ProblemDetails(status: 403, title: "Forbidden", detail: "Access to this resource is not allowed.")
        }
        return nil
    }

    private func isExempt(_ request: some LimitableRequest, _ facts: RequestFacts) -> Bool {
        guard !limiter.exempt.isEmpty else { return false }
        // By every reading of the path, for nobody knows which one the handler goes by: one may be exempt and another not.
        var facts = facts
        let routed = facts.routedPath
        facts.route = nil
        limiter.exempt.find(request, facts, into: &matched)
        guard !matched.isEmpty, routed != facts.path else { return !matched.isEmpty }
        facts.path = routed
        limiter.exempt.find(request, facts, into: &matched)
        return !matched.isEmpty
    }

    private func bypasses(_ request: some LimitableRequest) -> Bool {
        guard let bypass = limiter.policy.bypass, let value = request.onlyValue(of: bypass.header) else { return false }
        return isEqualInConstantTime(value, bypass.secret)
    }

    private func findCosts(_ request: some LimitableRequest, _ facts: RequestFacts) -> Step {
        var needsBody = false
        for match in matched {
            let plan = limiter.plans[match.rule]
            if plan.needsRequestBody, costOverride == nil {
                needsBody = true
                costs.append(Cost(units: 0, required: 0))
                continue
            }
            var reading = CostReading.absent
            if case .request(let cost, _, _) = plan.rule.cost {
                reading = CostReading.read(cost, request, query: path?.query, body: .none)
            }
            guard let cost = cost(of: plan, reading) else { return .verdict(.refuse(Self.tooCostly)) }
            costs.append(cost)
        }
        makeCharges(request, facts)
        if needsBody {
            if request.isCompressed { return resume(body: .unreadable) }
            return .needsBody(atMost: limiter.policy.bodyLimit)
        }
        return decide()
    }

    /// Goes on with a request whose cost is in its body.
    public func resume(body: RequestBody) -> Step {
        for (index, match) in matched.enumerated() {
            let plan = limiter.plans[match.rule]
            guard plan.needsRequestBody, case .request(let source, _, _) = plan.rule.cost else { continue }
            let reading: CostReading =
                switch source {
                case .json(let pointer): body.reading(pointer, asLength: false)
                case .jsonLength(let pointer): body.reading(pointer, asLength: true)
                case .header, .query: .absent
                }
            guard let cost = cost(of: plan, reading) else { return .verdict(.refuse(Self.tooCostly)) }
            costs[index] = cost
        }
        return decide()
    }

    /// What a request costs one limit; nil when that is above the policy's `max`.
    private func cost(of plan: LimitPlan, _ reading: CostReading) -> Cost? {
        if let costOverride { return Cost(units: costOverride, required: costOverride) }
        switch plan.rule.cost {
        case .fixed(let units): return Cost(units: units, required: units)
        case .response(_, let reserve, _, _): return Cost(units: reserve, required: max(1, reserve))
        case .request(_, let fallback, let most):
            let units: Int64
            switch reading {
            case .absent: units = fallback
            case .unreadable:
                let windows = plan.windows(for: identity?.tier)
                units = most ?? windows.map(\.limit.numbers.capacity).min() ?? fallback
            case .units(let found): units = max(1, found)
            }
            if units > most ?? Rate.largestCount { return nil }
            return Cost(units: units, required: units)
        }
    }

    private static let tooCostly = ProblemDetails(
        status: 413, title: "Content Too Large",
        detail: "The request costs more than the policy allows for one request.")

    /// Makes one charge for each window of each limit that applies; their costs are filled in by ``decide()``.
    private func makeCharges(_ request: some LimitableRequest, _ facts: RequestFacts) {
        let hasher = limiter.hasher
        for match in matched {
            let plan = limiter.plans[match.rule]
            let windows = plan.windows(for: identity?.tier)
            if windows.isEmpty { continue }
            let isWarm = plan.warmUp?.isWarm(at: limiter.clock.now()) ?? true
            dimensions.removeAll(keepingCapacity: true)
            for dimension in plan.rule.key {
                appendHash(dimension, plan, match, request, facts, hasher)
            }
            for window in windows {
                let numbers = isWarm ? window.limit.numbers : window.coldNumbers ?? window.limit.numbers
                charges.append(
                    Charge(
                        numbers, key: hasher.key(dimensions, seed: window.seed), cost: 0,
                        isShadow: plan.rule.isShadow, countsDenied: plan.rule.countsDenied,
                        isLeased: plan.rule.isLeased))
                parts.append(Part(rule: match.rule, window: window, isWarm: isWarm))
            }
        }
    }

    private func appendHash(
        _ dimension: KeyDimension, _ plan: LimitPlan, _ match: MatchedRule, _ request: some LimitableRequest,
        _ facts: RequestFacts, _ hasher: KeyHasher
    ) {
        let paths = plan.rule.match.paths
        let value: String
        switch dimension {
        case .client:
            guard let identity else { return }
            if identity.source == 0 {
                hasher.append(identity.maskedAddress, to: &dimensions)
            } else {
                hasher.append(identity.client, seed: UInt64(identity.source), to: &dimensions)
            }
            return
        case .address(let prefix):
            hasher.append(
                facts.address.masked(ipv6Prefix: prefix ?? AddressRange.defaultPrefix), to: &dimensions)
            return
        case .route:
            value = match.pattern < paths.count ? paths[match.pattern].description : facts.route?.template ?? "*"
        case .path: value = limiter.ignoresCase ? facts.routedPath.asciiLowercased : facts.routedPath
        case .global: value = ""
        case .host: value = facts.host ?? ""
        case .method: value = facts.method
        case .header(let name): value = request.onlyValue(of: name) ?? ""
        case .claim(let name): value = identity?.token?.claim(name) ?? ""
        case .parameter(let name):
            // From the reading that the pattern fits: cut out of another, a client would choose the key.
            let pattern = match.pattern < paths.count ? paths[match.pattern] : nil
            let found =
                pattern?.value(of: name, in: facts.routedPath) ?? pattern?.value(of: name, in: facts.path) ?? ""
            // A router's path is as it was sent: what is encoded in one of many ways is one value to whoever decodes it.
            value = facts.route?.path == nil ? found : RequestPath.decoded(segment: found)
        }
        hasher.append(value, seed: 0, to: &dimensions)
    }

    private func decide() -> Step {
        if charges.isEmpty { return .verdict(.pass(delay: 0)) }
        var index = 0
        for (place, match) in matched.enumerated() {
            while index < parts.count, parts[index].rule == match.rule {
                charges[index].cost = costs[place].units
                charges[index].required = costs[place].required
                index += 1
            }
        }
        if let pending = limiter.store.decide(charges, into: &decisions) { return .pending(pending) }
        return .verdict(conclude())
    }

    /// Goes on with a request that waited for the store, or for which the store failed.
    public func resume(decisions result: DecisionResult) -> Verdict {
        switch result {
        case .success(let decisions):
            self.decisions = decisions
            return conclude()
        case .failure:
            return concludeWithoutStore()
        }
    }

    /// Goes on as the policy's `on_store_failure` says of each limit: any `deny` refuses the request, those of `allow` take
    /// no part, and those of `local` are decided in this process by their share of the limit.
    private func concludeWithoutStore() -> Verdict {
        let fallback = limiter.policy.server.onStoreFailure
        func mode(_ index: Int) -> StoreFailureMode {
            limiter.plans[parts[index].rule].rule.onStoreFailure ?? fallback
        }
        let denies = charges.indices.contains { !charges[$0].isShadow && mode($0) == .deny }
        let local = denies ? [] : charges.indices.filter { mode($0) == .local }
        let instances = Int64(max(1, limiter.instances))
        charges = local.map { index in
            var charge = charges[index]
            charge.numbers = charge.numbers.divided(by: instances)
            // In a process's own keys this is the limit's seed.
            charge.key = Key(high: parts[index].window.seed, low: charge.key.low, partition: charge.key.partition)
            return charge
        }
        parts = local.map { parts[$0] }
        storeFailed = true
        guard !denies else { return .refuse(.storeFailed) }
        guard !charges.isEmpty else { return .pass(delay: 0) }
        _ = limiter.localStore.decide(charges, into: &decisions)
        return conclude()
    }

    /// Whether the store failed for this request, so that it was decided without.
    public private(set) var storeFailed = false

    /// Where this request was charged.
    var chargedStore: any Store { storeFailed ? limiter.localStore : limiter.store }

    private func conclude() -> Verdict {
        var delay: Timestamp = 0
        for (index, charge) in charges.enumerated() {
            revise(index)
            if charge.isShadow || decisions[index].isUnasked { continue }
            delay = max(delay, decisions[index].delay)
            if let current = reported, !decisions[index].isReported(before: decisions[current]) { continue }
            reported = index
        }
        guard let reported, !decisions[reported].allowed else {
            prepareMeters()
            return .pass(delay: delay)
        }
        return .refuse(.quotaExceeded(violatedPolicies, retryAfter: LimitHeaders.seconds(headerDecision(reported))))
    }

    /// A cost that only the warm-up, or this instance's share of the limit, makes impossible is possible when that is over.
    private func revise(_ index: Int) {
        let part = parts[index]
        guard !part.isWarm || storeFailed, !decisions[index].allowed, decisions[index].retryAfter == nil,
            part.window.limit.algorithm != .concurrency,
            charges[index].required <= part.window.limit.numbers.capacity
        else { return }
        if part.isWarm {
            // When the store will answer again nobody knows.
            decisions[index].retryAfter = 1_000_000
        } else {
            decisions[index].retryAfter = limiter.plans[part.rule].warmUp?.retryAfter(at: limiter.clock.now())
        }
    }

    /// Forgets the request before, so that an answer to one that was never understood says nothing about it.
    public func clear() {
        reset(limiter)
        around = nil
    }

    private func reset(_ limiter: RequestLimiter) {
        finish(isComplete: false)
        enclosing = nil
        isBypassed = false
        origin = nil
        if self.limiter !== limiter {
            self.limiter = limiter
            policiesFor = []
            policiesText = ""
        }
        identity = nil
        path = nil
        reported = nil
        storeFailed = false
        // Mostly they are empty already, since the request before was cleared.
        if !costs.isEmpty { costs.removeAll(keepingCapacity: true) }
        if !parts.isEmpty { parts.removeAll(keepingCapacity: true) }
        if !charges.isEmpty { charges.removeAll(keepingCapacity: true) }
        if !decisions.isEmpty { decisions.removeAll(keepingCapacity: true) }
        if !matched.isEmpty { matched.removeAll(keepingCapacity: true) }
    }

    deinit { finish(isComplete: false) }
}

extension RequestFacts {
    /// Lower case, without a port and a dot at its end.
    fileprivate static func hostName(_ text: String) -> String {
        var name = text[...]
        if let colon = name.lastIndex(of: ":"), !name.hasSuffix("]") { name = name[..<colon] }
        if name.hasSuffix(".") { name = name.dropLast() }
        return name.utf8.contains { (65...90).contains($0) } ? name.lowercased() : String(name)
    }
}

extension LimitableRequest {
    /// Whether the body is in a coding, so that a cost can't be read from it.
    var isCompressed: Bool {
        var isCompressed = false
        forEachValue(of: "Content-Encoding") { if $0.lowercased() != "identity" { isCompressed = true } }
        return isCompressed
    }
}

/// Compares two strings in a time that tells nothing about where they differ.
private func isEqualInConstantTime(_ left: String, _ right: String) -> Bool {
    let left = Array(left.utf8)
    let right = Array(right.utf8)
    var difference = left.count ^ right.count
    for index in right.indices {
        difference |= Int((index < left.count ? left[index] : 0) ^ right[index])
    }
    return difference == 0
}

extension IPAddress {
    /// The address's bits, which need no text, and a seed: an IPv4 address is not the IPv6 address of the same bits.
    func withHashableBytes<Result>(_ body: (UnsafeRawBufferPointer, UInt64) -> Result) -> Result {
        withUnsafeBytes(of: bits) { body($0, isIPv4 ? 0 : 1 << 32) }
    }
}

extension KeyHasher {
    fileprivate func append(_ address: IPAddress, to dimensions: inout [UInt64]) {
        address.withHashableBytes { append($0, seed: $1, to: &dimensions) }
    }
}
