/// A hash on a server, one for each client, that somebody else keeps: it says who is known, and of which tier.
public struct HashLookup: Sendable, Hashable {
    /// The hash's key, with `{client}` where the client's name goes.
    public var key: String
    /// The field that holds the tier; nil when only being there counts.
    public var field: String?

    public init(key: String, field: String? = nil) {
        self.key = key
        self.field = field
    }

    /// The key for one client.
    package func key(of client: String) -> String {
        guard let place = key.firstRange(of: "{client}") else { return key }
        return key[..<place.lowerBound] + client + key[place.upperBound...]
    }
}

/// What a lookup found.
public struct LookupAnswer: Sendable, Hashable {
    /// Whether the hash is there.
    public var isKnown: Bool
    /// What its field says.
    public var value: String?

    public init(isKnown: Bool, value: String? = nil) {
        self.isKnown = isKnown
        self.value = value
    }

    public static let unknown = LookupAnswer(isKnown: false)
}

/// Looks clients up. After an answer was waited for, the same question is answered at once for a while.
public protocol TierLookup: Sendable {
    /// - Parameters:
    ///   - client: as the request names it.
    ///   - hash: where to look.
    ///   - asker: a hash of the address that asks, so that one which tries names at random can be held back.
    func look(up client: String, in hash: HashLookup, for asker: UInt64) -> StoreAnswer<LookupAnswer>
}
