public import Weir

/// The gateway's address, timeouts and sizes. Times are in microseconds.
public struct ServerSettings: Sendable, Hashable {
    /// The addresses for clients.
    public var listen = ["127.0.0.1:8080"].compactMap { ListenAddress($0) }
    /// The mode of the Unix sockets in ``listen``, 0 to 0o777: who on this machine may connect.
    public var socketMode = 0o660
    /// The certificates for TLS; empty for none. The first is used for clients that name no server, or an unknown one.
    public var tls: [CertificateFiles] = []
    /// The upstream's URL, such as `http://127.0.0.1:8000`.
    public var upstream: String?
    /// The address and port of the admin server; nil for none.
    public var admin: String? = "127.0.0.1:9090"
    /// Further host names by which the admin server may be addressed.
    public var adminHosts: [String] = []
    /// The number of event loops; nil for one per core.
    public var threads: Int?
    /// The store that counts.
    public var store = StoreSetting.memory(capacity: nil)
    /// The behavior while the store fails, for limits without their own setting.
    public var onStoreFailure = StoreFailureMode.local
    /// The number of instances that share the store, for `on_store_failure: local`; nil to ask the store.
    public var instances: Int?
    /// The time for a request's header to arrive, 1 ms to 24 h; 10 s by default.
    public var headerTimeout: Timestamp = 10_000_000
    /// The time that a connection may be idle, 1 ms to 24 h; 75 s by default.
    public var idleTimeout: Timestamp = 75_000_000
    /// The time to connect to the upstream, 1 ms to 24 h; 5 s by default.
    public var connectTimeout: Timestamp = 5_000_000
    /// The time for the upstream to respond, 1 ms to 24 h; 60 s by default.
    public var responseTimeout: Timestamp = 60_000_000
    /// The time after which a connection to the upstream carries no further request, 1 ms to 24 h; 60 s by default.
    public var maxConnectionAge: Timestamp = 60_000_000
    /// The time for requests in progress to finish at shutdown, 1 ms to 24 h; 30 s by default.
    public var drainTimeout: Timestamp = 30_000_000
    /// The largest request header in bytes, 1 to 10^7.
    public var maxHeaderSize = 32 * 1024
    /// The most bytes of bodies that are held while their requests are decided, 1 to 2^40; 256 MiB by default.
    public var bodyMemory = 256 << 20
    /// The most connections, 1 to 10^7.
    public var maxConnections = 10_000
    /// The most connections from one address, 1 to 10^7. Trusted proxies are exempt.
    public var maxConnectionsPerAddress = 1000
    /// The most requests that one HTTP/2 connection may have in progress, 1 to 10,000.
    public var maxConcurrentStreams = 100
    /// The most requests that leaky buckets delay at once, 1 to 10^7.
    public var maxDelayed = 10_000

    /// Creates the default settings.
    public init() {}
}

/// Settings for a server's log.
public struct LogSettings: Sendable, Hashable {
    /// The most denials of one limit to log per second, 0 to 1,000,000. The rest are counted.
    public var denialsPerSecond = 100

    /// Creates the default settings.
    public init() {}
}
