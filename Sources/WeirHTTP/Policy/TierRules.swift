public import Weir

/// The rules that give each client a tier.
public struct TierRules: Sendable {
    /// The place where a client's tier is found.
    public enum Source: Sendable {
        /// A header, accepted from trusted proxies only.
        case header(String)
        /// The client's entry in a file.
        case directory(Directory)
        /// The client's entry in a Redis hash.
        case hash(HashLookup)
        /// A claim of a verified token.
        case jwt(claim: String)
    }

    /// The source of tiers; nil when only client sources and the app set them.
    public var source: Source?
    /// The tier for clients without one.
    public var fallback: String

    /// Creates rules from a source and the tier for clients without one.
    public init(source: Source? = nil, fallback: String) {
        self.source = source
        self.fallback = fallback
    }
}

/// Numbers that may differ by tier.
public enum ByTier<Value: Sendable>: Sendable {
    /// The same value for all tiers.
    case all(Value)
    /// A value for each tier.
    case each([String: Value])

    func value(for tier: String?, fallback: String?) -> Value? {
        switch self {
        case .all(let value): value
        case .each(let values): tier.flatMap { values[$0] } ?? fallback.flatMap { values[$0] }
        }
    }

    var values: [Value] {
        switch self {
        case .all(let value): [value]
        case .each(let values): Array(values.values)
        }
    }
}
