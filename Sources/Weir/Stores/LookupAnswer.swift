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
