/// The store that a policy names.
public struct StoreSetting: Sendable, Hashable {
    package enum Kind: Sendable, Hashable {
        case memory(capacity: Int?)
        case shared(url: String)
    }

    package let kind: Kind

    package init(_ kind: Kind) { self.kind = kind }

    /// Memory, with the most keys to keep, at least 1; nil for the default of a million.
    public static func memory(capacity: Int? = nil) -> StoreSetting { StoreSetting(.memory(capacity: capacity)) }
    /// A server, by its URL, such as `redis://…`.
    public static func shared(url: String) -> StoreSetting { StoreSetting(.shared(url: url)) }
}

/// The behavior of a limit while its store fails.
public struct StoreFailureMode: Sendable, Hashable {
    package enum Kind: Sendable, Hashable {
        case allow, deny, local
    }

    package let kind: Kind

    /// Let requests pass without the limit.
    public static let allow = StoreFailureMode(kind: .allow)
    /// Deny requests.
    public static let deny = StoreFailureMode(kind: .deny)
    /// Decide requests in this process, by its share of the limit.
    public static let local = StoreFailureMode(kind: .local)
}
