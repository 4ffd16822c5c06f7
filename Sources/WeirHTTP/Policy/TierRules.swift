public import Weir

public struct TierRules: Sendable {
    public enum Source: Sendable {
        /// A header, accepted from trusted proxies only.
        case header(String)
        case directory(Directory)
        case hash(HashLookup)
        case jwt(claim: String)
    }

    public var source: Source?
    /// The tier for clients without one.
    public var fallback: String

    public init(source: Source? = nil, fallback: String) {
        self.source = source
        self.fallback = fallback
    }
}

/// Numbers that may differ by tier.
public enum ByTier<Value: Sendable>: Sendable {
    case all(Value)
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
