import Weir

/// A limit of the policy, prepared for requests: the windows for each tier.
///
/// It is a class so that a request that uses it counts one reference and not one for each part of the rule.
final class LimitPlan: Sendable {
    /// One window, with everything that is the same for all requests. It is a class so that a request that keeps it
    /// for its answer counts one reference and not one for each string.
    final class Window: Sendable {
        let limit: Limit
        /// The numbers during the warm-up.
        let coldNumbers: LimitNumbers?
        /// The seed of the window's keys.
        let seed: UInt64
        /// The window's member of `RateLimit-Policy`, after and during the warm-up.
        let policyItem: String
        let coldPolicyItem: String
        /// The start of the window's member of `RateLimit`.
        let itemHead: String
        /// The limit's number of units, in decimal digits.
        let countText: String

        init(_ limit: Limit, cold: Limit?, seed: UInt64) {
            self.limit = limit
            self.seed = seed
            coldNumbers = cold?.numbers
            policyItem = LimitHeaders.policyItem(limit)
            coldPolicyItem = LimitHeaders.policyItem(cold ?? limit)
            itemHead = LimitHeaders.itemHead(limit.name)
            countText = String(limit.numbers.count)
        }
    }

    let rule: LimitRule
    /// The windows for clients in none of the tiers in `byTier`. Empty means unlimited.
    private let windows: [Window]
    private let byTier: [String: [Window]]
    let warmUp: WarmUp?
    private let fallbackTier: String?
    /// Whether the cost, or the reserve, is in the request's body.
    let hasCostInBody: Bool
    /// Whether the key, or what the limit matches, is in the request's body.
    let hasKeyInBody: Bool
    let hasMatchInBody: Bool
    /// Whether the request's body must be read for this limit.
    var needsBody: Bool { hasCostInBody || hasKeyInBody || hasMatchInBody }
    /// Whether requests hold units until their cost is known.
    let holdsUnits: Bool
    /// The pointers of a cost in the response's body.
    let costPointers: JSONPointerTree?

    func windows(for tier: String?) -> [Window] {
        guard let tier, !byTier.isEmpty else { return windows }
        return byTier[tier] ?? windows
    }

    /// The most that a request of a tier may cost; nil if nothing bounds it.
    func mostCost(for tier: String?) -> Int64? { rule.cost.most?.units(for: tier, fallback: fallbackTier) }

    /// The seeds of all its windows' keys. They stay the same as long as its state does.
    var seeds: Set<UInt64> { Set((windows + byTier.values.flatMap { $0 }).map(\.seed)) }

    init(_ rule: LimitRule, fallbackTier: String?, hasher: KeyHasher, warmUp: WarmUp?) throws(LimitError) {
        self.rule = rule
        self.warmUp = warmUp
        self.fallbackTier = fallbackTier
        (hasCostInBody, holdsUnits) =
            switch rule.cost.kind {
            case .fixed: (false, false)
            case .request(let cost, _, _): (cost.isInBody, false)
            case .response(_, .request(let reserve, _), _, _, _): (reserve.isInBody, true)
            case .response(_, let reserve, _, _, _): (false, reserve.holdsUnits)
            }
        hasKeyInBody = rule.key.contains(where: \.isInBody)
        hasMatchInBody = !rule.match.json.isEmpty
        if case .response(.body(let body), _, _, _, _) = rule.cost.kind {
            costPointers = JSONPointerTree(body.pointers)
        } else {
            costPointers = nil
        }
        var byTier: [String: [Window]] = [:]
        switch rule.allowance.kind {
        case .uniform(let allowance):
            // All tiers share these windows, so their debt is bounded by the largest of the tiers' bounds.
            windows = try Self.windows(rule, allowance, mostDebt: rule.cost.most?.byTier.values.max(), hasher)
        case .perTier(let allowances):
            for (tier, allowance) in allowances {
                let most = rule.cost.most?.units(for: tier, fallback: fallbackTier)
                byTier[tier] = try Self.windows(rule, allowance, mostDebt: most, hasher)
            }
            windows = fallbackTier.flatMap { byTier[$0] } ?? []
        }
        self.byTier = byTier
    }

    private static func windows(
        _ rule: LimitRule, _ allowance: LimitRule.Allowance, mostDebt: Int64?, _ hasher: KeyHasher
    ) throws(LimitError) -> [Window] {
        switch allowance.kind {
        case .unlimited: return []
        case .concurrency(let count):
            let limit = try Limit(rule.name, concurrency: count)
            let cold = try rule.warmUp.map { (rule) throws(LimitError) in
                try Limit(limit.name, concurrency: max(1, count * rule.numerator / rule.denominator))
            }
            return [window(of: rule, limit, cold: cold, hasher)]
        case .rates(let rates):
            var windows: [Window] = []
            for (index, rate) in rates.enumerated() {
                let name = LimitRule.windowName(rule.name, index)
                func limit(_ rate: Rate) throws(LimitError) -> Limit {
                    try Limit(
                        name, rate, algorithm: rule.algorithm, maxWait: rule.maxWait, alignment: rule.alignment,
                        mostDebt: mostDebt)
                }
                let cold = try rule.warmUp.map { (rule) throws(LimitError) in
                    try limit(rate.scaled(by: rule.numerator, over: rule.denominator))
                }
                windows.append(window(of: rule, try limit(rate), cold: cold, hasher))
            }
            return windows
        }
    }

    private static func window(
        of rule: LimitRule, _ limit: Limit, cold: Limit?, _ hasher: KeyHasher
    ) -> Window {
        // Name, algorithm, key and period identify a state.
        let identity = limit.identity + "\u{0}" + rule.key.map(\.text).joined(separator: "\u{0}")
        return Window(limit, cold: cold, seed: hasher.seed(for: identity))
    }
}
