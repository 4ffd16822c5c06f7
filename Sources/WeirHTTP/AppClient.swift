/// A client that the app itself identified, such as a logged-in user. Takes precedence over the policy's client
/// sources.
public struct AppClient: Sendable, Hashable {
    /// A unique identifier, 1–4096 bytes. If empty or longer, the policy's sources are used instead. It is never sent
    /// anywhere.
    public var id: String
    /// The client's tier; nil to use the policy's.
    public var tier: String?

    /// Creates a client from its identifier, 1–4096 bytes, and its tier; nil to use the policy's tier.
    public init(_ id: String, tier: String? = nil) {
        self.id = id
        self.tier = tier
    }
}
