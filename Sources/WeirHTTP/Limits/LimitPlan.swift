import Weir

/// A limit of the policy, made ready: for each tier, the windows to decide by.
///
/// A class, so that a request that looks at it counts one reference and not one for each part of the rule.
final class LimitPlan: Sendable {
    /// One window, with all that doesn't change from request to request. A class, so that a request that holds it
    /// for its answer counts one reference and not one for each of its strings.
    final class Window: Sendable {
        let limit: Limit
        /// The numbers while the limit warms up.
        let coldNumbers: LimitNumbers?
        /// Where the window's keys start.
        let seed: UInt64
        /// As written in `RateLimit-Policy`, warmed up and not.
        let policyItem: String
        let coldPolicyItem: String
        /// What `RateLimit` begins with.
        let itemHead: String
        /// How many units the limit has, in digits.
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
    /// The windows of everybody who is in none of the tiers below. Empty means unlimited.
    private let windows: [Window]
    private let byTier: [String: [Window]]
    let warmUp: WarmUp?
    /// Whether the cost is in the request's body.
    let needsRequestBody: Bool

    func windows(for tier: String?) -> [Window] {
        guard let tier, !byTier.isEmpty else { return windows }
        return byTier[tier] ?? windows
    }

    /// Where the keys of all its windows start; the same as long as its state is.
    var seeds: Set<UInt64> { Set((windows + byTier.values.flatMap { $0 }).map(\.seed)) }

    init(_ rule: LimitRule, fallbackTier: String?, hasher: KeyHasher, warmUp: WarmUp?) throws(LimitError) {
        self.rule = rule
        self.warmUp = warmUp
        if case .request(let cost, _, _) = rule.cost {
            needsRequestBody = cost.needsBody
        } else {
            needsRequestBody = false
        }
        var byTier: [String: [Window]] = [:]
        switch rule.allowance {
        case .all(let allowance): windows = try Self.windows(rule, allowance, hasher)
        case .each(let allowances):
            for (tier, allowance) in allowances { byTier[tier] = try Self.windows(rule, allowance, hasher) }
            windows = fallbackTier.flatMap { byTier[$0] } ?? []
        }
        self.byTier = byTier
    }

    private static func windows(
        _ rule: LimitRule, _ allowance: LimitRule.Allowance, _ hasher: KeyHasher
    ) throws(LimitError) -> [Window] {
        switch allowance {
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
                    try Limit(name, rate, algorithm: rule.algorithm, maxWait: rule.maxWait, alignment: rule.alignment)
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
        // Name, algorithm, key and period tell a state from all others.
        let identity = limit.identity + "\u{0}" + rule.key.map(\.text).joined(separator: "\u{0}")
        return Window(limit, cold: cold, seed: hasher.seed(for: identity))
    }
}
