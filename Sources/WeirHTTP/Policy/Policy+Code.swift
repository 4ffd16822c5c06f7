public import Weir

extension Policy {
    /// The policy in a file.
    ///
    /// - Parameters:
    ///   - path: of a `weir.yaml`.
    ///   - environment: what `${NAME}` in it stands for.
    /// - Throws: ``PolicyError`` with every error found, each with its line.
    public static func file(_ path: String, environment: [String: String] = [:]) throws(PolicyError) -> Policy {
        try read(contentsOf: path, environment: environment).get()
    }

    /// The policy in a text of YAML.
    ///
    /// - Throws: ``PolicyError`` with every error found, each with its line.
    public static func text(_ yaml: String, environment: [String: String] = [:]) throws(PolicyError) -> Policy {
        try read(yaml, file: "policy", environment: environment).get()
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
        for rule in limits where !Limit.isValid(name: rule.name) {
            throw PolicyError("a limit's name must be 1 to 64 letters, digits, '_' or '-', not '\(rule.name)'")
        }
        if let clash = LimitRule.nameClashes(in: limits).first { throw PolicyError(clash.message) }
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
}
