package import Weir

/// The gateway's own settings: addresses, timeouts and sizes, which mean nothing in an app. Times are in microseconds.
package struct GatewaySettings: Sendable, Hashable {
    /// The addresses for clients.
    package var listen = ["127.0.0.1:8080"].compactMap { ListenAddress($0) }
    /// The mode of the Unix sockets in ``listen``, 0 to 0o777: who on this machine may connect.
    package var socketMode = 0o660
    /// The certificates for TLS; empty for none. The first is used for clients that name no server, or an unknown one.
    package var tls: [CertificateFiles] = []
    /// The upstream's URL, such as `http://127.0.0.1:8000`.
    package var upstream: String?
    /// The address and port of the admin server; nil for none.
    package var admin: String? = "127.0.0.1:9090"
    /// Further host names by which the admin server may be addressed.
    package var adminHosts: [String] = []
    /// The number of event loops; nil for one per core.
    package var threads: Int?
    /// The time for a request's header to arrive, 1 ms to 24 h; 10 s by default.
    package var headerTimeout: Timestamp = 10_000_000
    /// The time that a connection may be idle, 1 ms to 24 h; 75 s by default.
    package var idleTimeout: Timestamp = 75_000_000
    /// The time to connect to the upstream, 1 ms to 24 h; 5 s by default.
    package var connectTimeout: Timestamp = 5_000_000
    /// The time for the upstream to respond, 1 ms to 24 h; 60 s by default.
    package var responseTimeout: Timestamp = 60_000_000
    /// The time after which a connection to the upstream carries no further request, 1 ms to 24 h; 60 s by default.
    package var maxConnectionAge: Timestamp = 60_000_000
    /// The time for requests in progress to finish at shutdown, 1 ms to 24 h; 30 s by default.
    package var drainTimeout: Timestamp = 30_000_000
    /// The largest request header in bytes, 1 to 10^7.
    package var maxHeaderSize = 32 * 1024
    /// The most connections, 1 to 10^7.
    package var maxConnections = 10_000
    /// The most connections from one address, 1 to 10^7. Trusted proxies are exempt.
    package var maxConnectionsPerAddress = 1000
    /// The most requests that one HTTP/2 connection may have in progress, 1 to 10,000.
    package var maxConcurrentStreams = 100

    /// Creates the default settings.
    package init() {}
}
