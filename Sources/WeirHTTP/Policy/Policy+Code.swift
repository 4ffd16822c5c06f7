public import Weir

#if canImport(FoundationEssentials)
    public import FoundationEssentials
#else
    public import Foundation
#endif

extension Policy {
    /// Reads a policy from a file.
    ///
    /// - Parameters:
    ///   - path: the path of a `weir.yaml`.
    ///   - environment: the variables for `${NAME}`; the process's environment by default.
    /// - Throws: ``PolicyError`` with every error found, each with its line.
    public init(
        contentsOf path: String, environment: [String: String] = ProcessInfo.processInfo.environment
    ) throws(PolicyError) {
        self = try Self.read(contentsOf: path, environment: environment).get()
    }

    /// Reads a policy from YAML text.
    ///
    /// - Parameters:
    ///   - yaml: the text, as in a file.
    ///   - environment: the variables for `${NAME}`; the process's environment by default.
    /// - Throws: ``PolicyError`` with every error found, each with its line.
    public init(
        yaml: String, environment: [String: String] = ProcessInfo.processInfo.environment
    ) throws(PolicyError) {
        self = try Self.read(yaml, file: "policy", environment: environment).get()
    }

    /// Creates a policy in code.
    ///
    /// - Throws: ``PolicyError`` when two limits have one name, or a name is invalid in a header. Other faults are
    ///   reported when a ``RequestLimiter`` is made, because the policy may still change until then.
    public init(limits: [LimitRule]) throws(PolicyError) {
        self.init()
        self.limits = limits
        try check()
    }

    /// Runs the checks that reading a file runs.
    func check() throws(PolicyError) {
        for rule in limits where !Limit.isValidName(rule.name) {
            throw PolicyError("\(RuleChecker.badName) '\(rule.name)'")
        }
        if let clash = LimitRule.nameClashes(in: limits).first { throw PolicyError(clash.message) }
    }

    /// Checks each part with ``RuleChecker``, as for a file.
    func checkRules() throws(PolicyError) {
        func found(_ problem: RuleProblem, in what: String) -> PolicyError {
            PolicyError("\(what): \(problem.message)")
        }
        if let bypass, let problem = RuleChecker.problems(of: bypass).first { throw found(problem, in: "'bypass'") }
        for name in LimitHeader.allCases.map(headers.name) {
            if let problem = RuleChecker.problem(ofFieldName: name) { throw PolicyError(problem) }
        }
        if exemptions.contains(where: \.isEverything) { throw PolicyError(RuleChecker.exemptsEverything) }
        if !(exemptions + accessRules.map(\.match)).allSatisfy({ $0.json.isEmpty }) {
            throw PolicyError(RuleChecker.bodyMatchOutsideLimit)
        }
        for rule in limits {
            if let problem = RuleChecker.problems(of: rule, fallbackTier: tiers?.default).first {
                throw found(problem, in: "limit '\(rule.name)'")
            }
        }
    }
}

extension LimitRule {
    /// Creates a limit on a rate, for policies in code.
    ///
    /// - Parameters:
    ///   - name: 1 to 64 of `A-Za-z0-9_-`. It appears in headers and metrics.
    ///   - rates: one or more windows.
    ///   - key: the key that each budget is kept for; the client by default.
    ///   - algorithm: any except concurrency.
    public init(
        _ name: String, _ rates: Rate..., by key: [KeyDimension] = [.client], algorithm: Algorithm = .tokenBucket
    ) {
        self.init(name, rates, by: key, algorithm: algorithm)
    }

    /// Creates a limit on a rate, from a list of windows.
    package init(_ name: String, _ rates: [Rate], by key: [KeyDimension], algorithm: Algorithm = .tokenBucket) {
        self.init(name: name, allowance: .uniform(.rates(rates)))
        self.key = key
        self.algorithm = algorithm
    }

    /// Creates a limit on a rate that depends on the client's tier. The policy needs ``Policy/tiers``.
    ///
    /// ```swift
    /// LimitRule("api", ["free": .rates(.perMinute(60)), "pro": .unlimited])
    /// ```
    ///
    /// - Parameters:
    ///   - name: 1 to 64 of `A-Za-z0-9_-`. It appears in headers and metrics.
    ///   - tiers: the limit's numbers in each tier.
    ///   - key: the key that each budget is kept for; the client by default.
    ///   - algorithm: any except concurrency.
    public init(
        _ name: String, _ tiers: [String: Allowance], by key: [KeyDimension] = [.client],
        algorithm: Algorithm = .tokenBucket
    ) {
        self.init(name: name, allowance: .perTier(tiers))
        self.key = key
        self.algorithm = algorithm
    }

    /// Creates a limit on the number of requests in flight, 1 to 10^9.
    public init(_ name: String, concurrency: Int64, by key: [KeyDimension] = [.client]) {
        self.init(name: name, allowance: .uniform(.concurrency(concurrency)))
        self.key = key
        algorithm = .concurrency
    }
}
