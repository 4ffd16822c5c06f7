import Weir

/// A request whose charges are made. It takes the store's decisions to a verdict, and the response to the actual cost.
struct ChargedRequest {
    /// The window and the limit that a charge is for.
    struct Part {
        var rule: Int
        var window: LimitPlan.Window
        var isWarm: Bool
        /// The reserve as the policy or the request says it; the charge's own may be clipped.
        var reserve: Int64 = 0
        /// The most that the response may cost; nil if nothing bounds it.
        var most: Int64?

        /// Distinguishes this part's text in `RateLimit-Policy` from that of other windows, tiers and warm-up states.
        fileprivate var policyMark: Int {
            Int(truncatingIfNeeded: window.seed) ^ Int(truncatingIfNeeded: window.limit.numbers.count) &* 31
                ^ (isWarm ? 1 : 0)
        }
    }

    // One element for each charge, in separate arrays because stores take charges and return decisions as arrays.
    private(set) var parts: [Part] = []
    private(set) var charges: [Charge] = []
    private(set) var decisions: [Decision] = []
    /// The index of the charge whose numbers are reported; nil when no enforced limit applies.
    private(set) var reported: Int?
    /// Whether the store failed for this request, so that it was decided without the store.
    private(set) var storeFailed = false
    /// The charges that depend on the response: a part with a meter reads its cost from it; the others are permits.
    private var meters: [(part: Int, meter: ResponseMeter?)] = []
    /// Whether the response's body must be metered, because a cost is in it.
    private(set) var metersBody = false
    private var policiesText = ""
    private var policiesFor: [Int] = []

    var isEmpty: Bool { charges.isEmpty }

    /// Forgets the request, which must have ended.
    @inline(__always)
    mutating func clear() {
        reported = nil
        storeFailed = false
        // The arrays are usually empty already, because the previous request was cleared.
        if !parts.isEmpty { parts.removeAll(keepingCapacity: true) }
        if !charges.isEmpty { charges.removeAll(keepingCapacity: true) }
        if !decisions.isEmpty { decisions.removeAll(keepingCapacity: true) }
    }

    /// Forgets the text of `RateLimit-Policy`, which belonged to a different policy.
    mutating func forgetPolicies() {
        policiesFor = []
        policiesText = ""
    }

    // MARK: charge

    /// Adds a charge whose cost isn't known yet.
    mutating func add(_ plan: LimitPlan, window: LimitPlan.Window, rule: Int, isWarm: Bool, key: Key) {
        let numbers = isWarm ? window.limit.numbers : window.coldNumbers ?? window.limit.numbers
        charges.append(
            Charge(
                numbers, key: key, cost: 0, isShadow: plan.rule.isShadow, countsDenied: plan.rule.countsDenied,
                isLeased: plan.rule.isLeased, countsHolds: plan.holdsUnits))
        parts.append(Part(rule: rule, window: window, isWarm: isWarm))
    }

    /// Writes one rule's cost into its charges, which start at `index`, and advances `index` past them.
    @inline(__always)
    mutating func price(rule: Int, from index: inout Int, _ cost: PlannedRequest.Cost) {
        while index < parts.count, parts[index].rule == rule {
            charges[index].cost = cost.units
            charges[index].required = cost.units
            if cost.isHold { reserve(index, cost) }
            index += 1
        }
    }

    /// Makes a charge a hold. It is clipped to the window's capacity, never to what is left, so that a small budget
    /// admits one request at a time.
    private mutating func reserve(_ index: Int, _ cost: PlannedRequest.Cost) {
        charges[index].isHold = charges[index].countsHolds
        clip(index)
        parts[index].most = cost.most
        parts[index].reserve = cost.isUnreadable ? charges[index].cost : cost.units
    }

    private mutating func clip(_ index: Int) {
        charges[index].cost = min(charges[index].cost, charges[index].numbers.capacity)
        charges[index].required = max(1, charges[index].cost)
    }

    /// Removes a limit's charges: what it matches isn't in the request's body.
    mutating func remove(rule: Int) {
        charges = charges.indices.filter { parts[$0].rule != rule }.map { charges[$0] }
        parts.removeAll { $0.rule == rule }
    }

    /// Sets the key of a limit's charges.
    mutating func setKey(_ dimensions: [UInt64], of rule: Int, _ hasher: KeyHasher) {
        for index in parts.indices where parts[index].rule == rule {
            charges[index].key = hasher.key(dimensions, seed: parts[index].window.seed)
        }
    }

    /// Denies a request whose body isn't read yet, if a limit that needs no body denies it.
    ///
    /// - Returns: nil, with nothing changed, when the body must be read.
    mutating func denyUnread(on limiter: RequestLimiter) -> LimitedRequest.Verdict? {
        // A limit that counts denied requests must count this one, too, and only its key or its cost may be missing.
        guard !charges.contains(where: \.countsDenied) else { return nil }
        let known = charges.indices.filter { !limiter.plans[parts[$0].rule].needsBody }
        guard known.contains(where: { !charges[$0].isShadow }),
            limiter.store.peek(known.map { charges[$0] }, into: &decisions)
        else { return nil }
        let denies = zip(known, decisions).contains { !charges[$0].isShadow && !$1.isAllowed && !$1.isUnasked }
        guard denies else {
            decisions.removeAll(keepingCapacity: true)
            return nil
        }
        charges = known.map { charges[$0] }
        parts = known.map { parts[$0] }
        return conclude(on: limiter, costOverride: nil)
    }

    /// Asks the store. Returns nil when it decided at once, else a promise of the decisions.
    mutating func ask(_ limiter: RequestLimiter) -> PendingAnswer<DecisionResult>? {
        limiter.store.decide(charges, into: &decisions)
    }

    // MARK: verdict

    /// Concludes with the store's answer.
    mutating func conclude(
        _ result: DecisionResult, on limiter: RequestLimiter, costOverride: Int64?
    ) -> LimitedRequest.Verdict {
        guard case .success(let decisions) = result else {
            return concludeWithoutStore(on: limiter, costOverride: costOverride)
        }
        self.decisions = decisions
        return conclude(on: limiter, costOverride: costOverride)
    }

    mutating func conclude(on limiter: RequestLimiter, costOverride: Int64?) -> LimitedRequest.Verdict {
        // A store of somebody else's may answer anything.
        guard decisions.count == charges.count else {
            return concludeWithoutStore(on: limiter, costOverride: costOverride)
        }
        var delay: Timestamp = 0
        for (index, charge) in charges.enumerated() {
            revise(index, on: limiter)
            if charge.isShadow || decisions[index].isUnasked { continue }
            delay = max(delay, decisions[index].delayTicks)
            if let current = reported, !decisions[index].isReported(before: decisions[current]) { continue }
            reported = index
        }
        guard let reported, !decisions[reported].isAllowed else {
            prepareMeters(on: limiter, costOverride: costOverride)
            return .pass(delay: delay == 0 ? .zero : Duration(ticks: Ticks(delay)))
        }
        return .answer(
            .quotaExceeded(
                violatedPolicies(on: limiter), retryAfter: LimitHeaders.seconds(headerDecision(reported))))
    }

    /// Continues as each limit's `on_store_failure` says. Any `deny` denies the request; limits with `allow` take no
    /// part; limits with `local` are decided in this process by their share of the limit.
    private mutating func concludeWithoutStore(
        on limiter: RequestLimiter, costOverride: Int64?
    ) -> LimitedRequest.Verdict {
        let fallback = limiter.policy.onStoreFailure
        func mode(_ index: Int) -> StoreFailureMode {
            limiter.plans[parts[index].rule].rule.onStoreFailure ?? fallback
        }
        let denies = charges.indices.contains { !charges[$0].isShadow && mode($0) == .deny }
        let local = denies ? [] : charges.indices.filter { mode($0) == .local }
        let instances = Int64(max(1, limiter.instances))
        charges = local.map { index in
            var charge = charges[index]
            charge.numbers = charge.numbers.divided(by: instances)
            // In this process's own keys, this part is the limit's seed.
            charge.key = Key(high: parts[index].window.seed, low: charge.key.low, partition: charge.key.partition)
            return charge
        }
        parts = local.map { parts[$0] }
        for index in charges.indices where charges[index].isHold { clip(index) }
        storeFailed = true
        guard !denies else { return .answer(.storeFailed) }
        guard !charges.isEmpty else { return .pass(delay: .zero) }
        _ = limiter.localStore.decide(charges, into: &decisions)
        return conclude(on: limiter, costOverride: costOverride)
    }

    /// Sets a denial's retry time when only the warm-up, or this instance's share of the limit, makes the cost
    /// impossible.
    private mutating func revise(_ index: Int, on limiter: RequestLimiter) {
        let part = parts[index]
        guard !part.isWarm || storeFailed, !decisions[index].isAllowed, decisions[index].retryTicks == nil,
            part.window.limit.algorithm != .concurrency,
            charges[index].required <= part.window.limit.numbers.capacity
        else { return }
        if part.isWarm {
            // The store's recovery can't be predicted, so suggest a second.
            decisions[index].retryTicks = 1_000_000
        } else {
            decisions[index].retryTicks = limiter.plans[part.rule].warmUp?.retryAfter(at: limiter.clock.timestamp)
        }
    }

    // MARK: report

    /// Whether a limit of this name took part.
    func includes(_ name: String, on limiter: RequestLimiter) -> Bool {
        parts.contains { limiter.plans[$0.rule].rule.name == name }
    }

    /// The denial of a limit in shadow mode; nil when it allowed.
    func shadowDecision(rule: Int) -> Decision? {
        zip(parts, decisions).first { $0.rule == rule && !$1.isAllowed && !$1.isUnasked }?.1
    }

    /// The names of the limits that deny, in the policy's order, each once.
    func violatedPolicies(on limiter: RequestLimiter) -> [String] {
        var names: [String] = []
        guard decisions.count == charges.count else { return names }
        for (index, charge) in charges.enumerated() where !charge.isShadow && !decisions[index].isAllowed {
            let name = limiter.plans[parts[index].rule].rule.name
            if names.last != name { names.append(name) }
        }
        return names
    }

    /// Calls `body` with the outcome of each limit that took part; a limit of several windows counts once.
    func forEachOutcome(_ body: (LimitedRequest.Outcome) -> Void) {
        guard decisions.count == charges.count else { return }
        var current: LimitedRequest.Outcome?
        for (index, charge) in charges.enumerated() where !decisions[index].isUnasked {
            if var same = current, same.rule == parts[index].rule {
                same.allowed = same.allowed && decisions[index].isAllowed
                same.isDelayed = same.isDelayed || decisions[index].delayTicks > 0
                current = same
                continue
            }
            if let current { body(current) }
            current = LimitedRequest.Outcome(
                rule: parts[index].rule, allowed: decisions[index].isAllowed, isShadow: charge.isShadow,
                isDelayed: decisions[index].delayTicks > 0)
        }
        if let current { body(current) }
    }

    /// The reported limit, as the headers of one response show it.
    var report: LimitHeaders.Report? {
        reported.map { LimitHeaders.Report(window: parts[$0].window, decision: headerDecision($0)) }
    }

    /// A decision as headers show it. Concurrency has no retry-after in memory, so headers suggest a second.
    private func headerDecision(_ index: Int) -> Decision {
        var decision = decisions[index]
        if !decision.isAllowed, decision.retryTicks == nil, charges[index].numbers.algorithm == .concurrency,
            charges[index].required <= charges[index].numbers.capacity
        {
            decision.retryTicks = 1_000_000
        }
        return decision
    }

    /// The members of `RateLimit-Policy`, cached for the next request with the same limits.
    mutating func policies() -> String {
        var matches = 0
        var isSame = true
        for (index, charge) in charges.enumerated() where !charge.isShadow {
            let mark = parts[index].policyMark
            isSame = isSame && matches < policiesFor.count && policiesFor[matches] == mark
            matches += 1
        }
        if isSame, matches == policiesFor.count { return policiesText }
        policiesFor.removeAll(keepingCapacity: true)
        policiesText = ""
        for (index, charge) in charges.enumerated() where !charge.isShadow {
            let part = parts[index]
            if !policiesText.isEmpty { policiesText += ", " }
            policiesText += part.isWarm ? part.window.policyItem : part.window.coldPolicyItem
            policiesFor.append(part.policyMark)
        }
        return policiesText
    }

    // MARK: settle

    /// Whether the end of the response matters: a cost depends on it, or it frees a permit.
    var mustFinish: Bool { !meters.isEmpty }

    /// Whether the response must be metered, because a cost is in it.
    var metersResponse: Bool { meters.contains { $0.meter != nil } }

    private mutating func prepareMeters(on limiter: RequestLimiter, costOverride: Int64?) {
        for (index, charge) in charges.enumerated() {
            if costOverride == nil,
                case .response(let cost, _, _, _, _) = limiter.plans[parts[index].rule].rule.cost.kind
            {
                if charge.isShadow, !decisions[index].isAllowed { continue }
                meters.append((index, ResponseMeter(cost, limiter.plans[parts[index].rule].costPointers)))
                if case .body = cost { metersBody = true }
            } else if charge.numbers.algorithm == .concurrency, decisions[index].receipt != nil {
                meters.append((index, nil))
            }
        }
    }

    mutating func responseHead(status: Int, header: (String) -> [String]) {
        for index in meters.indices { meters[index].meter?.head(status: status, header: header) }
    }

    mutating func responseFailed() {
        for index in meters.indices { meters[index].meter?.failed() }
    }

    mutating func responseBody(_ bytes: UnsafeRawBufferPointer) {
        for index in meters.indices { meters[index].meter?.body(bytes) }
    }

    /// Says what the request costs a limit whose cost is in its response.
    mutating func state(_ units: Int64, for name: String, on limiter: RequestLimiter) {
        for index in meters.indices where limiter.plans[parts[meters[index].part].rule].rule.name == name {
            meters[index].meter?.state(units)
        }
    }

    /// The limits that take part and are enforced, as an app's handler may charge them.
    func chargeableLimits(on limiter: RequestLimiter) -> [ChargeableLimit] {
        guard decisions.count == charges.count else { return [] }
        let store = chargedStore(of: limiter)
        let metered = Set(meters.filter { $0.meter != nil }.map(\.part))
        return charges.indices.filter { !charges[$0].isShadow && !decisions[$0].isUnasked }.map { index in
            ChargeableLimit(
                standing: LimitStanding(
                    name: parts[index].window.limit.name, quota: decisions[index].quota,
                    remaining: decisions[index].remaining, resetAfter: decisions[index].resetAfter),
                name: limiter.plans[parts[index].rule].rule.name, isMetered: metered.contains(index),
                charge: charges[index], store: store)
        }
    }

    /// Charges or refunds what the response showed, and frees permits. Later calls do nothing.
    ///
    /// - Parameters:
    ///   - reachedUpstream: whether the request was sent on. One that never was costs nothing.
    ///   - isUntold: whether nobody knows the response, as in a log. An unknown cost is then what the request reserved.
    ///   - unknown: called for each limit whose cost the response should have said and did not.
    mutating func finish(
        isComplete: Bool, reachedUpstream: Bool, isUntold: Bool = false, on limiter: RequestLimiter,
        unknown: (_ rule: Int, ResponseMeter.Unknown) -> Void
    ) {
        guard !meters.isEmpty else { return }
        let store = chargedStore(of: limiter)
        var last: Int?
        for (part, meter) in meters {
            let charge = charges[part]
            let rule = parts[part].rule
            guard var meter,
                case .response(let source, _, let fallback, _, let chargesErrors) =
                    limiter.plans[rule].rule.cost.kind
            else {
                if let receipt = decisions[part].receipt { _ = store.apply(.refund(charge, receipt)) }
                continue
            }
            var actual: Int64
            switch meter.end(isComplete: isComplete) {
            case _ where !reachedUpstream: actual = 0
            case .known(let units): actual = units
            case .failed: actual = chargesErrors ? fallback : 0
            case .unknown(let reason, let seen):
                // A status that isn't listed is no unknown cost. One that never came is, unless a log lacks it.
                if case .status = source, reason != .incomplete || isUntold {
                    actual = fallback
                    break
                }
                if isUntold {
                    actual = charge.cost > 0 ? charge.cost : fallback
                    break
                }
                actual = max(parts[part].reserve, fallback, seen)
                // A limit with several windows is told of once.
                if last != rule { unknown(rule, reason) }
                last = rule
            }
            if let most = parts[part].most { actual = min(actual, most) }
            settle(charge, decisions[part].receipt, actual: actual, in: store)
        }
        forgetMeters()
    }

    private func settle(_ charge: Charge, _ receipt: Receipt?, actual: Int64, in store: any Store) {
        if let receipt {
            _ = store.apply(.settle(charge, receipt, actual: actual))
        } else if actual > 0 {
            // Nothing was held.
            var charge = charge
            charge.cost = min(actual, Rate.maximumCount)
            _ = store.apply(.debit(charge))
        }
    }

    /// Refunds everything that was charged.
    mutating func withdraw(on limiter: RequestLimiter) {
        let store = chargedStore(of: limiter)
        for index in decisions.indices where index < charges.count {
            guard let receipt = decisions[index].receipt else { continue }
            let charge = charges[index]
            _ = store.apply(charge.isHold ? .settle(charge, receipt, actual: 0) : .refund(charge, receipt))
            decisions[index].dropReceipt()
        }
        forgetMeters()
    }

    /// Handles a store's answer that came after the request ended: frees permits.
    mutating func abandon(_ result: DecisionResult, on limiter: RequestLimiter, costOverride: Int64?) {
        guard case .success(let decisions) = result, decisions.count == charges.count else { return }
        self.decisions = decisions
        guard violatedPolicies(on: limiter).isEmpty else { return }
        prepareMeters(on: limiter, costOverride: costOverride)
        finish(isComplete: false, reachedUpstream: false, on: limiter) { _, _ in }
    }

    private mutating func forgetMeters() {
        meters.removeAll(keepingCapacity: true)
        metersBody = false
    }

    /// The store that charged this request.
    private func chargedStore(of limiter: RequestLimiter) -> any Store {
        storeFailed ? limiter.localStore : limiter.store
    }
}
