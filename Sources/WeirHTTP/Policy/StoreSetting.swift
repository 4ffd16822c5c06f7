/// The store that a policy names.
public enum StoreSetting: Sendable, Hashable {
    /// Memory, with the most keys to keep; nil for the default.
    case memory(capacity: Int?)
    /// A server's URL, such as `redis://…`.
    case shared(url: String)
}

/// The behavior of a limit while its store fails.
public enum StoreFailureMode: Sendable, Hashable {
    /// Let requests pass without the limit, deny them, or decide them in this process by its share of the limit.
    case allow, deny, local
}
