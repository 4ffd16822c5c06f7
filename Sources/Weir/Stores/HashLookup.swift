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
