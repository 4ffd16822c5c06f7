public import Weir

/// The rules that give each client a tier.
public struct TierRules: Sendable, Hashable {
    /// The place where a client's tier is found.
    public struct Source: Sendable, Hashable {
        package enum Kind: Sendable, Hashable {
            case header(String)
            case file(ClientFile)
            case hash(HashLookup)
            case jwt(claim: String)
        }

        package let kind: Kind

        package init(_ kind: Kind) { self.kind = kind }

        /// A header, accepted from trusted proxies only.
        public static func header(_ name: String) -> Source { Source(.header(name)) }
        /// The client's entry in a file.
        public static func file(_ file: ClientFile) -> Source { Source(.file(file)) }
        /// The client's entry in a Redis hash.
        public static func hash(_ lookup: HashLookup) -> Source { Source(.hash(lookup)) }
        /// A claim of a verified token.
        public static func jwt(claim: String) -> Source { Source(.jwt(claim: claim)) }
    }

    /// The source of tiers; nil when only client sources and the app set them.
    public var source: Source?
    /// The tier for clients without one.
    public var `default`: String

    /// Creates rules from a source and the tier for clients without one.
    public init(source: Source? = nil, default: String) {
        self.source = source
        self.default = `default`
    }
}

/// Values that may differ by tier.
public struct ByTier<Value: Sendable>: Sendable {
    package enum Kind: Sendable {
        case uniform(Value)
        case perTier([String: Value])
    }

    package let kind: Kind

    package init(_ kind: Kind) { self.kind = kind }

    /// The same value for all tiers.
    public static func uniform(_ value: Value) -> ByTier { ByTier(.uniform(value)) }
    /// A value for each tier.
    public static func perTier(_ values: [String: Value]) -> ByTier { ByTier(.perTier(values)) }

    func value(for tier: String?, fallback: String?) -> Value? {
        switch kind {
        case .uniform(let value): value
        case .perTier(let values): tier.flatMap { values[$0] } ?? fallback.flatMap { values[$0] }
        }
    }

    var values: [Value] {
        switch kind {
        case .uniform(let value): [value]
        case .perTier(let values): Array(values.values)
        }
    }
}

extension ByTier.Kind: Equatable where Value: Equatable {}
extension ByTier.Kind: Hashable where Value: Hashable {}
extension ByTier: Equatable where Value: Equatable {}
extension ByTier: Hashable where Value: Hashable {}

extension ByTier: ExpressibleByDictionaryLiteral {
    /// A value for each tier.
    public init(dictionaryLiteral elements: (String, Value)...) {
        self = .perTier(Dictionary(elements) { $1 })
    }
}
