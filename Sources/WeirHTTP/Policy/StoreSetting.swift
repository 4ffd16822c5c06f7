public enum StoreSetting: Sendable, Hashable {
    case memory(capacity: Int?)
    /// A server's URL, such as `redis://…`.
    case shared(url: String)
}

public enum StoreFailureMode: Sendable, Hashable {
    case allow, deny, local
}
