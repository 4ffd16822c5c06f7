import HTTPTypes
public import Weir

#if canImport(FoundationEssentials)
    public import FoundationEssentials
#else
    public import Foundation
#endif

extension Policy {
    /// The policy in a file.
    ///
    /// - Parameters:
    ///   - path: of a `weir.yaml`.
    ///   - environment: what `${NAME}` in it stands for; the process's environment unless given.
    /// - Throws: ``PolicyError`` with every error found, each with its line.
    public static func file(
        _ path: String, environment: [String: String] = ProcessInfo.processInfo.environment
    ) throws(PolicyError) -> Policy {
        try read(contentsOf: path, environment: environment).get()
    }

    /// The policy in a text of YAML.
    ///
    /// - Parameters:
    ///   - yaml: as it would stand in a file.
    ///   - environment: what `${NAME}` in it stands for; the process's environment unless given.
    /// - Throws: ``PolicyError`` with every error found, each with its line.
    public static func text(
        _ yaml: String, environment: [String: String] = ProcessInfo.processInfo.environment
    ) throws(PolicyError) -> Policy {
        try read(yaml, file: "policy", environment: environment).get()
    }

    /// A policy written in code.
    ///
    /// - Throws: ``PolicyError`` when two of its limits have one name, or a name can't stand in a header. What else can be
    ///   wrong with it is said when a ``RequestLimiter`` is made, for it may still be changed.
    public init(limits: [LimitRule]) throws(PolicyError) {
        self.init()
        self.limits = limits
        try check()
    }

    /// What a file is checked for when it is read.
    func check() throws(PolicyError) {
        for rule in limits where !Limit.isValid(name: rule.name) {
            throw PolicyError("a limit's name must be 1 to 64 letters, digits, '_' or '-', not '\(rule.name)'")
        }
        if let clash = LimitRule.nameClashes(in: limits).first { throw PolicyError(clash.message) }
    }

    /// That each limit can let somebody pass, and not everybody.
    func checkLimits() throws(PolicyError) {
        if let bypass, bypass.secret.utf8.count < 16 {
            throw PolicyError("the bypass secret must have at least 16 characters, so that it can't be guessed")
        }
        for name in [bypass?.header].compactMap(\.self) + LimitHeader.allCases.map(headers.name)
        where HTTPField.Name(name) == nil {
            throw PolicyError("'\(name)' can't be a header's name")
        }
        if exempt.contains(where: \.isEverything) {
            throw PolicyError("an exemption without a condition would exempt every request")
        }
        for rule in limits {
            if let problem = rule.problem(in: self) { throw PolicyError("limit '\(rule.name)': \(problem)") }
        }
    }
}

extension LimitRule {
    /// What is wrong with a rule made in code; of one in a file the reader says it, with its place.
    fileprivate func problem(in policy: Policy) -> String? {
        if key.isEmpty { return "its key has no dimension; the budget of everybody together is [.global]" }
        for allowance in allowance.values {
            switch allowance {
            case .rates([]): return "it has no rate; say .unlimited if that is meant"
            case .rates where algorithm == .concurrency: return "its algorithm is concurrency, but it has a rate"
            case .concurrency where algorithm != .concurrency:
                return "its number is of requests in flight, but its algorithm is \(algorithm)"
            case .rates, .concurrency, .unlimited: break
            }
        }
        if case .each(let tiers) = allowance {
            guard let fallback = policy.tiers?.fallback else {
                return "its rates are given by tier, but the policy has no tiers, so nobody would be limited"
            }
            guard tiers[fallback] != nil else { return "it has no rate for the default tier '\(fallback)'" }
        }
        for case .parameter(let name) in key
        where match.paths.isEmpty || !match.paths.allSatisfy({ $0.parameters.contains(name) }) {
            return "its key is the parameter '\(name)', which its match's paths don't have"
        }
        return warmUpProblem ?? costProblem
    }

    private var warmUpProblem: String? {
        guard let warmUp else { return nil }
        guard 1...1_000_000_000 ~= warmUp.denominator, 1...warmUp.denominator ~= warmUp.numerator else {
            return "its warm-up's factor must be above 0 and at most 1, with a denominator of at most 1000000000"
        }
        if case .after(let time) = warmUp.until, !(0...Rate.longestPeriod ~= time) {
            return "its warm-up must last from 0 to 365 days, not \(time) microseconds"
        }
        return nil
    }

    private var costProblem: String? {
        let capacity = smallestCapacity ?? Rate.largestCount
        func above(_ what: String, _ value: Int64) -> String? {
            if value < 0 { return "\(what) of \(value) is below 0" }
            return value > capacity
                ? "\(what) of \(value) is above its capacity of \(capacity), so such a request would never pass" : nil
        }
        switch cost {
        case .fixed(let units): return above("a cost", units)
        case .request(_, let fallback, let most):
            if fallback < 1 {
                return "its default cost of \(fallback) is below 1, so a request that doesn't say its cost is free"
            }
            if let most, fallback > most { return "its default cost of \(fallback) is above the largest, \(most)" }
            return above("a default cost", fallback) ?? most.flatMap { above("a largest cost", $0) }
        case .response(_, let reserve, let fallback, _):
            if algorithm == .leakyBucket || algorithm == .concurrency {
                return "its cost is in the response, before which a \(algorithm) must decide"
            }
            return above("a reserve", reserve) ?? (fallback < 0 ? "a default cost of \(fallback) is below 0" : nil)
        }
    }
}

extension LimitRule {
    /// A limit on a rate, for policies in code.
    ///
    /// - Parameters:
    ///   - name: 1 to 64 of `A-Za-z0-9_-`; it appears in headers and metrics.
    ///   - rates: one or several windows.
    ///   - key: whose budget it is; the client's unless told otherwise.
    ///   - algorithm: any but concurrency.
    public init(
        _ name: String, _ rates: Rate..., by key: [KeyDimension] = [.client], algorithm: Algorithm = .tokenBucket
    ) {
        self.init(name: name, allowance: .all(.rates(rates)))
        self.key = key
        self.algorithm = algorithm
    }

    /// A limit on how many requests are in flight, 1 to 10^9.
    public init(_ name: String, concurrency: Int64, by key: [KeyDimension] = [.client]) {
        self.init(name: name, allowance: .all(.concurrency(concurrency)))
        self.key = key
        algorithm = .concurrency
    }
}
