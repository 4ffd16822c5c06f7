public import Weir

/// The gateway's address, timeouts and sizes. Times are in microseconds.
public struct ServerSettings: Sendable, Hashable {
    public var listen = "127.0.0.1:8080"
    public var upstream: String?
    public var admin: String? = "127.0.0.1:9090"
    /// The number of event loops; nil for one per core.
    public var threads: Int?
    public var store = StoreSetting.memory(capacity: nil)
    public var onStoreFailure = StoreFailureMode.local
    /// The number of instances that share the store, for `on_store_failure: local`; nil to ask the store.
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

/// Settings for a server's log.
public struct LogSettings: Sendable, Hashable {
    /// The most denials of one limit to log per second, 0 to 1,000,000. The rest are counted.
    public var denialsPerSecond = 100

    public init() {}
}
