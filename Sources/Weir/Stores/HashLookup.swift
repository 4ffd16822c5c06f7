/// A Redis hash per client, maintained outside Weir, that marks a client as known and holds its tier.
public struct HashLookup: Sendable, Hashable {
    /// The hash's key. `{client}` stands for the client's name.
    public var key: String
    /// The field that holds the tier; nil when the hash's existence is enough.
    public var field: String?

    /// Creates a lookup of the hash at `key`, and of its `field` if there is one.
    public init(key: String, field: String? = nil) {
        self.key = key
        self.field = field
    }

    /// The key of one client's hash.
    package func key(of client: String) -> String {
        guard let place = key.firstRange(of: "{client}") else { return key }
        return key[..<place.lowerBound] + client + key[place.upperBound...]
    }
}
