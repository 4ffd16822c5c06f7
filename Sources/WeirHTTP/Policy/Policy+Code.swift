public import Weir

extension Policy {
    /// The policy in a file.
    ///
    /// - Parameters:
    ///   - path: of a `weir.yaml`.
    ///   - environment: what `${NAME}` in it stands for.
    /// - Throws: ``PolicyError`` with every error found, each with its line.
    public static func file(_ path: String, environment: [String: String] = [:]) throws(PolicyError) -> Policy {
        let reading = Policy.read(contentsOf: path, environment: environment)
        guard let policy = reading.policy else {
            throw PolicyError(reading.diagnostics.filter { $0.severity == .error })
        }
        return policy
    }

    /// The policy in a text of YAML.
    ///
    /// - Throws: ``PolicyError`` with every error found, each with its line.
    public static func text(_ yaml: String, environment: [String: String] = [:]) throws(PolicyError) -> Policy {
        let reading = Policy.read(yaml, file: "policy", environment: environment)
        guard let policy = reading.policy else {
            throw PolicyError(reading.diagnostics.filter { $0.severity == .error })
        }
        return policy
    }

    /// A policy written in code.
    ///
    /// - Throws: ``PolicyError`` when two of its limits have one name, or a name can't stand in a header.
    public init(limits: [LimitRule]) throws(PolicyError) {
        self.init()
        self.limits = limits
        try check()
    }

    /// What a file is checked for when it is read.
    func check() throws(PolicyError) {
        var names: Set<String> = []
        for rule in limits {
            guard Limit.isValid(name: rule.name) else {
                throw PolicyError(
                    "a limit's name must be 1 to 64 letters, digits, '_' or '-', not '\(rule.name)'")
            }
            for name in rule.windowNames {
                guard names.insert(name).inserted else { throw PolicyError("the name '\(name)' is used twice") }
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

    /// The names under which its windows appear in headers.
    var windowNames: [String] {
        let most = allowance.values.map { if case .rates(let rates) = $0 { rates.count } else { 1 } }.max() ?? 1
        return (0..<max(1, most)).map { LimitRule.windowName(name, $0) }
    }
}
