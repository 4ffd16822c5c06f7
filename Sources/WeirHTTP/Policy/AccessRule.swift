/// A rule on which tiers may make the requests that it matches.
public struct AccessRule: Sendable, Hashable {
    /// The conditions on the requests that the rule applies to.
    public var match: RequestMatch
    /// The tiers that may pass; others get 403. Nil denies every client.
    public var tiers: [String]?

    /// Creates a rule. Without tiers, it denies every client.
    public init(_ match: RequestMatch, tiers: [String]? = nil) {
        self.match = match
        self.tiers = tiers
    }
}

/// A header with a secret that lets requests bypass all limits.
public struct Bypass: Sendable, Hashable {
    /// The header's name.
    public var header: String
    /// The secret, at least 16 characters.
    public var secret: String

    /// Creates a bypass. A ``RequestLimiter`` refuses a policy with a shorter secret or an invalid header name.
    public init(header: String, secret: String) {
        self.header = header
        self.secret = secret
    }
}
