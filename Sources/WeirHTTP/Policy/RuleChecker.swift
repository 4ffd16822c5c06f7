import HTTPTypes
import Weir

/// Checks the rules of a policy from a file or from code. The file's reader adds places.
enum RuleChecker {
    // MARK: Limits

    /// Finds faults that would make a limit let every request pass, or none, or need something that its algorithm
    /// can't do.
    static func problems(of rule: LimitRule, fallbackTier: String?) -> [RuleProblem] {
        var problems = numberProblems(rule, fallbackTier: fallbackTier)
        if rule.key.isEmpty {
            problems.append(
                RuleProblem(["key"], "'key' needs at least one dimension; [global] is one budget for everybody"))
        }
        for case .parameter(let name) in rule.key.map(\.kind)
        where rule.match.paths.isEmpty || !rule.match.paths.allSatisfy({ $0.parameters.contains(name) }) {
            problems.append(RuleProblem(["key"], "no path of this limit's match has a '{\(name)}'"))
        }
        if rule.isLeased, !rule.algorithm.canBeLeased {
            problems.append(
                RuleProblem(
                    ["sync"],
                    "'sync: leased' is for token-bucket, fixed-window and sliding-window, not for \(rule.algorithm)"))
        }
        if rule.countsDenied, rule.algorithm == .concurrency {
            problems.append(
                RuleProblem(
                    ["count_denied"],
                    "'count_denied' has no meaning for concurrency: a denied request holds no permit"))
        }
        return problems + warmUpProblems(rule) + costProblems(rule, fallbackTier: fallbackTier)
    }

    static let noRate = "a limit needs a 'rate', such as 20/minute"
    static let noConcurrency = "a concurrency limit needs 'limit', the number of requests in flight"
    static let rateForConcurrency = "concurrency takes 'limit', the number of requests in flight"

    static func limitForRate(_ algorithm: Algorithm) -> String {
        "\(algorithm) takes 'rate'; 'limit' belongs to concurrency"
    }

    private static func numberProblems(_ rule: LimitRule, fallbackTier: String?) -> [RuleProblem] {
        let key = rule.algorithm == .concurrency ? "limit" : "rate"
        var problems: [RuleProblem] = []
        for allowance in rule.allowance.values {
            switch allowance.kind {
            case .rates([]): problems.append(RuleProblem(["rate"], noRate))
            case .rates where rule.algorithm == .concurrency:
                problems.append(RuleProblem(["rate"], rateForConcurrency))
            case .concurrency where rule.algorithm != .concurrency:
                problems.append(RuleProblem(["limit"], limitForRate(rule.algorithm)))
            case .rates(let rates) where rule.algorithm != .tokenBucket:
                if rates.contains(where: { $0.burst != $0.count }) {
                    problems.append(
                        RuleProblem(["rate"], "'burst' belongs to token-bucket, not to \(rule.algorithm)"))
                }
            case .rates, .concurrency, .unlimited: break
            }
        }
        guard case .perTier(let tiers) = rule.allowance.kind else { return problems }
        if let fallbackTier {
            if tiers[fallbackTier] == nil {
                problems.append(RuleProblem([key], "'\(key)' has no entry for the default tier '\(fallbackTier)'"))
            }
        } else {
            problems.append(RuleProblem([key], "a '\(key)' by tier needs 'tiers' with a 'default'"))
        }
        return problems
    }

    private static func warmUpProblems(_ rule: LimitRule) -> [RuleProblem] {
        guard let warmUp = rule.warmUp else { return [] }
        var problems: [RuleProblem] = []
        if !(1...1_000_000_000 ~= warmUp.denominator && 1...warmUp.denominator ~= warmUp.numerator) {
            problems.append(
                RuleProblem(
                    ["warm_up", "factor"],
                    "'factor' must be above 0 and at most 1, with a denominator of at most 1000000000"))
        }
        if case .after(let time) = warmUp.until.kind, !(0...Rate.maximumPeriodTicks ~= time) {
            problems.append(
                RuleProblem(["warm_up", "after"], "'after' must be from 0 to 366 days, not \(time) microseconds"))
        }
        return problems
    }

    private static func costProblems(_ rule: LimitRule, fallbackTier: String?) -> [RuleProblem] {
        var problems: [RuleProblem] = []
        func check(
            _ value: Int64, _ what: String, from least: Int64 = 0, at path: [String], needsRoom: Bool = true,
            ofTier tier: String? = nil
        ) {
            if value < least {
                problems.append(RuleProblem(path, "\(what) of \(value) is below \(least)"))
            } else if needsRoom, let (capacity, owner) = rule.smallestCapacity(of: tier), value > capacity {
                let place = owner.map { "the capacity of the tier '\($0)', which is \(capacity)" }
                problems.append(
                    RuleProblem(
                        path,
                        "\(what) of \(value) is above \(place ?? "the limit's capacity of \(capacity)"), so no such request would ever pass"
                    ))
            }
        }
        /// Checks `max`, which may be different for each tier.
        func check(_ most: MostCost?, needsRoom: Bool) {
            switch most?.byTier.kind {
            case nil: break
            case .uniform(let units): check(units, "'max'", from: 1, at: ["cost", "max"], needsRoom: needsRoom)
            case .perTier(let each):
                for (tier, units) in each.sorted(by: { $0.key < $1.key }) {
                    check(
                        units, "'max'", from: 1, at: ["cost", "max", tier], needsRoom: needsRoom, ofTier: tier)
                }
                if let fallbackTier, each[fallbackTier] == nil {
                    problems.append(
                        RuleProblem(["cost", "max"], "'max' has no entry for the default tier '\(fallbackTier)'"))
                } else if fallbackTier == nil {
                    problems.append(RuleProblem(["cost", "max"], "a 'max' by tier needs 'tiers' with a 'default'"))
                }
            }
        }
        switch rule.cost.kind {
        case .fixed(let units): check(units, "a cost", at: ["cost"])
        case .request(_, let fallback, let most):
            // A request that doesn't state its cost must not be free.
            check(fallback, "'default'", from: 1, at: ["cost", "default"])
            check(most, needsRoom: true)
            if let most = most?.byTier.values.min(), fallback > most {
                problems.append(
                    RuleProblem(["cost", "default"], "'default' of \(fallback) is above 'max' of \(most)"))
            }
        case .response(let source, let reserve, let fallback, let most, _):
            if rule.algorithm == .leakyBucket || rule.algorithm == .concurrency {
                let reason =
                    rule.algorithm == .leakyBucket
                    ? "a leaky bucket assigns slots before the response"
                    : "a permit is held until the response has ended"
                problems.append(
                    RuleProblem(["cost", "response"], "\(reason), so its cost can't come from the response"))
            }
            if case .body(let body) = source { problems += Self.problems(of: body) }
            let least: Int64
            switch reserve {
            case .units(let units): least = units
            case .request(_, let fallback): least = fallback
            }
            // A reserve is clipped to what the limit holds, and a cost above that is paid as debt.
            check(least, "'reserve'", at: ["cost", "reserve"], needsRoom: false)
            check(fallback, "'default'", at: ["cost", "default"], needsRoom: false)
            check(most, needsRoom: false)
            if rule.isLeased, reserve.holdsUnits {
                problems.append(
                    RuleProblem(
                        ["sync"], "a limit with a 'reserve' can't be leased: every instance must know what is held"))
            }
        }
        return problems
    }

    private static func problems(of body: BodyCost) -> [RuleProblem] {
        var problems: [RuleProblem] = []
        let path = ["cost", "response"]
        if body.pointers.isEmpty || body.shapes.contains(where: { $0.contains { $0.pointers.isEmpty } }) {
            problems.append(RuleProblem(path, "a cost from the response needs a pointer, such as /usage/total_tokens"))
        }
        if body.pointers.count > BodyCost.mostPointers {
            problems.append(
                RuleProblem(path, "a cost from the response has at most \(BodyCost.mostPointers) pointers"))
        }
        let parts = body.shapes.flatMap { $0 }
        if !parts.isEmpty, parts.allSatisfy({ $0.millionths <= 0 }) {
            problems.append(RuleProblem(path, "no part of the sum has a weight above 0, so it is always 0"))
        }
        if parts.contains(where: { abs($0.millionths) > 1_000_000_000_000 }) {
            problems.append(RuleProblem(path, "a weight is from -1000000 to 1000000"))
        }
        return problems
    }

    // MARK: The rest

    /// Finds a secret that could be guessed, or an invalid header name.
    static func problems(of bypass: Bypass) -> [RuleProblem] {
        var problems: [RuleProblem] = []
        if bypass.secret.utf8.count < 16 {
            problems.append(
                RuleProblem(
                    ["secret"], "the bypass secret must have at least 16 characters, so that it can't be guessed"))
        }
        if let problem = problem(ofFieldName: bypass.header) { problems.append(RuleProblem(["header"], problem)) }
        return problems
    }

    /// Explains why a text can't be a header's name; nil when it can.
    static func problem(ofFieldName name: String) -> String? {
        HTTPField.Name(name) == nil ? "'\(name)' is not a header's name" : nil
    }

    static let bodyMatchOutsideLimit = "'json' belongs to the match of a limit: for other rules, no body is read"

    static let exemptsEverything = "an exemption without a condition would exempt everything"

    static let badName = "a limit's name must be 1 to 64 letters, digits, '_' or '-', not"
}

extension LimitRule {
    /// The smallest capacity among its tiers and windows; nil when all are unlimited.
    var smallestCapacity: Int64? { smallestCapacity(of: nil)?.capacity }

    /// The smallest capacity among its windows, in one tier or in all; nil when all are unlimited.
    ///
    /// - Returns: the capacity, and the tier that has it if the limit's numbers are by tier.
    func smallestCapacity(of tier: String?) -> (capacity: Int64, tier: String?)? {
        func smallest(_ allowance: Allowance) -> Int64? {
            switch allowance.kind {
            case .unlimited: nil
            case .rates(let rates): rates.map { algorithm == .tokenBucket ? $0.burst : $0.count }.min()
            case .concurrency(let count): count
            }
        }
        switch allowance.kind {
        case .uniform(let allowance): return smallest(allowance).map { ($0, nil) }
        case .perTier(let each):
            return each.filter { tier == nil || $0.key == tier }
                .compactMap { name, allowance in smallest(allowance).map { ($0, Optional(name)) } }
                .min { $0.0 < $1.0 }
        }
    }
}
