public import Weir

/// Where the gateway listens and how long it waits. Times are microseconds.
public struct ServerSettings: Sendable, Hashable {
    public var listen = "127.0.0.1:8080"
    public var upstream: String?
    public var admin: String? = "127.0.0.1:9090"
    /// Event loops; nil for as many as there are cores.
    public var threads: Int?
    public var store = StoreSetting.memory(capacity: nil)
    public var onStoreFailure = StoreFailureMode.local
    /// How many instances share the store, for `on_store_failure: local`; nil to ask the store.
    public var instances: Int?
    public var headerTimeout: Timestamp = 10_000_000
    public var idleTimeout: Timestamp = 75_000_000
    public var connectTimeout: Timestamp = 5_000_000
    public var responseTimeout: Timestamp = 60_000_000
    public var drainTimeout: Timestamp = 30_000_000
    public var maxHeaderSize = 32 * 1024
    public var maxConnections = 10_000
    public var maxConnectionsPerAddress = 1000
    public var maxDelayed = 10_000

    public init() {}
}

/// What a server logs.
public struct LogSettings: Sendable, Hashable {
    /// How many denials of one limit are logged in a second, 0 to 1,000,000; the rest are counted.
    public var denialsPerSecond = 100

    public init() {}
}
