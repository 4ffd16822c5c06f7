/// A client that the app itself has identified, such as a user who logged in. It goes before all sources of the policy.
public struct AppClient: Sendable, Hashable {
    /// What tells the client from others, 1 to 4096 bytes; else the policy's sources are asked. Never sent anywhere.
    public var name: String
    /// Nil for what the policy says.
    public var tier: String?

    public init(_ name: String, tier: String? = nil) {
        self.name = name
        self.tier = tier
    }
}
