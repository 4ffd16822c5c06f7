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
            throw PolicyError("\(RuleChecker.badName) '\(rule.name)'")
        }
        if let clash = LimitRule.nameClashes(in: limits).first { throw PolicyError(clash.message) }
    }

    /// Checks each part as ``RuleChecker`` does for a file.
    func checkRules() throws(PolicyError) {
        func found(_ problem: RuleProblem, in what: String) -> PolicyError {
            PolicyError("\(what): \(problem.message)")
        }
        if let bypass, let problem = RuleChecker.problems(of: bypass).first { throw found(problem, in: "'bypass'") }
        for name in LimitHeader.allCases.map(headers.name) {
            if let problem = RuleChecker.problem(ofFieldName: name) { throw PolicyError(problem) }
        }
        if exempt.contains(where: \.isEverything) { throw PolicyError(RuleChecker.exemptsEverything) }
        for rule in limits {
            if let problem = RuleChecker.problems(of: rule, fallbackTier: tiers?.fallback).first {
                throw found(problem, in: "limit '\(rule.name)'")
            }
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
