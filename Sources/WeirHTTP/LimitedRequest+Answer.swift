public import Weir

/// What a request's answer says of its limits, and what logs and metrics are told.
extension LimitedRequest {
    /// Whether the response has headers about limits.
    public var isLimited: Bool { reported != nil }

    /// The decision that is reported: the denying limit's, or the one closest to its limit.
    public var reportedDecision: Decision? { reported.map { decisions[$0] } }

    /// Where the reported limit stands in the policy.
    public var reportedRule: Int? { reported.map { parts[$0].rule } }

    /// Writes the headers about limits, if the response has any: those of a limiter around this one are among them.
    ///
    /// - Parameter add: takes a header's name, as the policy calls it, and its value.
    public func writeHeaders(to add: (String, String) -> Void) {
        let settings = limiter.headers.settings
        writeHeaders { (header: LimitHeader, value) in add(settings.name(of: header), value) }
    }

    /// The same for who knows the names already.
    package func writeHeaders(to add: (LimitHeader, String) -> Void) {
        guard isLimited, let report = innermostReport() else { return }
        limiter.headers.write(policies: allPolicies(), report, to: add)
    }

    private func innermostReport() -> LimitHeaders.Report? {
        let outer = enclosing?.innermostReport()
        guard let reported else { return outer }
        let own = LimitHeaders.Report(window: parts[reported].window, decision: headerDecision(reported))
        if let outer, !own.decision.isReported(before: outer.decision) { return outer }
        return own
    }

    private func allPolicies() -> String {
        guard let enclosing, enclosing.isLimited else { return policies() }
        return "\(enclosing.allPolicies()), \(policies())"
    }

    /// Writes the headers by which a page of another origin may read an answer of Weir's own.
    ///
    /// - Parameter add: takes a header's name and value.
    public func writeCrossOriginHeaders(to add: (String, String) -> Void) {
        guard let origin else { return }
        let settings = limiter.policy.headers
        add("Access-Control-Allow-Origin", origin)
        add("Vary", "Origin")
        add(
            "Access-Control-Expose-Headers",
            "Retry-After, \(settings.rateLimitName), \(settings.rateLimitPolicyName), \(settings.limitName), "
                + "\(settings.remainingName), \(settings.resetName)")
    }

    /// The reported decision as headers show it: concurrency has no retry-after in memory, so they hint at a second.
    func headerDecision(_ index: Int) -> Decision {
        var decision = decisions[index]
        if !decision.allowed, decision.retryAfter == nil, charges[index].numbers.algorithm == .concurrency,
            charges[index].required <= charges[index].numbers.capacity
        {
            decision.retryAfter = 1_000_000
        }
        return decision
    }

    /// The members of `RateLimit-Policy`, kept for the next request that meets the same limits.
    private func policies() -> String {
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

    // MARK: observe

    /// The names of the limits that deny, in the policy's order, each once.
    public var violatedPolicies: [String] {
        var names: [String] = []
        for (index, charge) in charges.enumerated() where !charge.isShadow && !decisions[index].allowed {
            let name = limiter.plans[parts[index].rule].rule.name
            if names.last != name { names.append(name) }
        }
        return names
    }

    /// Calls `body` with the outcome of each limit that took part; a limit of several windows counts once.
    public func forEachOutcome(_ body: (Outcome) -> Void) {
        guard decisions.count == charges.count else { return }
        var current: Outcome?
        for (index, charge) in charges.enumerated() where !decisions[index].isUnasked {
            if var same = current, same.rule == parts[index].rule {
                same.allowed = same.allowed && decisions[index].allowed
                current = same
                continue
            }
            if let current { body(current) }
            current = Outcome(rule: parts[index].rule, allowed: decisions[index].allowed, isShadow: charge.isShadow)
        }
        if let current { body(current) }
    }

    /// The client's own address, behind whatever proxies.
    public var clientAddress: IPAddress? { identity?.address }

    public var tier: String? { identity?.tier }

    /// A hash that names the client in logs; the same for the same client while the process lives.
    public var clientHash: UInt64 {
        let hasher = limiter.store.keyHasher
        guard let identity else { return 0 }
        if identity.source == 0 {
            return identity.maskedAddress.withHashableBytes { hasher.hash($0, seed: $1) }
        }
        return hasher.hash(identity.client, seed: UInt64(identity.source))
    }
}
