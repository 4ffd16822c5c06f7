/// The result of a lookup.
public struct LookupAnswer: Sendable, Hashable {
    /// Whether the client's hash exists.
    public var isKnown: Bool
    /// The value of the hash's field; nil when there is none.
    public var value: String?

    /// Creates an answer.
    public init(isKnown: Bool, value: String? = nil) {
        self.isKnown = isKnown
        self.value = value
    }

    /// The answer for a client without a hash.
    public static let unknown = LookupAnswer(isKnown: false)
}
