public enum StoreSetting: Sendable, Hashable {
    case memory(capacity: Int?)
    /// `redis://…` and its kin.
    case shared(url: String)
}

public enum StoreFailureMode: Sendable, Hashable {
    case allow, deny, local
}
