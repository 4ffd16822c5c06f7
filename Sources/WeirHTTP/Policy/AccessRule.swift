public struct AccessRule: Sendable {
    public var match: Match
    /// The tiers that may pass; others get 403. Nil when no tier may.
    public var tiers: [String]?

    public init(_ match: Match, tiers: [String]? = nil) {
        self.match = match
        self.tiers = tiers
    }
}

public struct Bypass: Sendable {
    public var header: String
    /// The secret that exempts a request, at least 16 characters.
    public var secret: String

    public init(header: String, secret: String) {
        self.header = header
        self.secret = secret
    }
}
