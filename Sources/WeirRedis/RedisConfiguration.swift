import NIOCore
public import NIOSSL
package import Weir

/// Where a store is, and how it is used.
///
/// ```swift
/// var configuration = try RedisConfiguration(url: "rediss://cache.example.com:6380")
/// configuration.username = "weir"
/// configuration.password = { try await tokens.current() }
/// let store = try RedisStore(configuration)
/// ```
public struct RedisConfiguration: Sendable, CustomStringConvertible {
    /// Asked for a password whenever a connection is opened.
    public typealias PasswordProvider = @Sendable () async throws -> String

    var address: RedisAddress

    /// The user to authenticate as; nil for the server's default user.
    public var username: String?
    /// Gives the password to authenticate with; nil for a server that needs none. It is asked whenever a connection is
    /// opened, so a password may change at any time. A connection that is open stays so.
    public var password: PasswordProvider?
    /// The user to authenticate as with sentinels; nil for their default user.
    public var sentinelUsername: String?
    /// Gives the password to authenticate with sentinels; nil for sentinels that need none.
    public var sentinelPassword: PasswordProvider?
    /// The settings for TLS, with client certificates if the server wants them. If nil, connections use TLS only when
    /// the URL says so.
    public var tls: TLSConfiguration?

    /// How long a decision may take, all waiting included; 50 ms by default.
    public var decisionTimeout = Duration.milliseconds(50)
    /// The most charges that may wait for one server or be under way on it; 10,000 by default. Further requests fail
    /// as overloaded.
    public var maximumPendingOperations = 10_000
    /// The prefix of all keys on the server; `weir:` by default.
    public var keyPrefix = "weir:"
    /// The secret that keys are hashed with: at least 16 characters, the same for all instances. If nil, the first
    /// instance generates one and puts it into the store.
    public var keySecret: String?
    /// Whether denials are remembered for up to a second, so that repeated denied requests don't reach the server; true
    /// by default.
    public var cachesDenials = true
    /// How long a concurrency permit is held if nobody renews it; 30 seconds by default. The store renews it at a third
    /// of that.
    public var permitLease = Duration.seconds(30)

    /// How often instances are counted.
    package var heartbeat = Duration.seconds(5)
    /// How long keys outlive their use, in milliseconds.
    package var slack: Int64 = 1000
    /// The clock to decide by, for tests. Nil for the server's.
    package var clock: (any TickClock)?

    /// Reads a URL.
    ///
    /// The forms are `redis://[user[:password]@]host[:port][/database]`, `redis+cluster://` and `redis+sentinel://`,
    /// and the same with `valkey` for `redis`. The last two take several hosts separated by commas, and a URL for
    /// sentinels takes the master's name as its path.
    ///
    /// With `rediss` or `valkeys`, connections use TLS. After `?`, separated by `&`, `ca=FILE` names the certificate
    /// authorities to trust, and `cert=FILE` and `key=FILE` the client's certificate and its key, all in PEM.
    /// `sentinel_password=…` is the password of sentinels.
    ///
    /// - Throws: ``RedisConfigurationError`` when the URL is malformed or contradicts itself.
    public init(url: String) throws(RedisConfigurationError) {
        address = try RedisAddress(url)
        username = address.user
        if let fixed = address.password { password = { fixed } }
        if let fixed = address.sentinelPassword { sentinelPassword = { fixed } }
    }

    /// The URL without user and password.
    public var description: String { address.description }

    var decisionTicks: Timestamp { Timestamp(clamping: max(1, decisionTimeout.ticks)) }
    var leaseTicks: Timestamp { min(Timestamp(clamping: max(1, permitLease.ticks)), Instant.max.microseconds) }
    var heartbeatTicks: Timestamp { Timestamp(clamping: max(1, heartbeat.ticks)) }

    /// The settings for TLS; nil for connections without.
    func makeTLSContext() throws(StoreError) -> NIOSSLContext? {
        guard tls != nil || address.usesTLS else { return nil }
        do {
            var configuration = tls ?? .makeClientConfiguration()
            if let file = address.caFile {
                configuration.trustRoots = .certificates(try NIOSSLCertificate.fromPEMFile(file))
            }
            if let (certificate, key) = address.clientCertificate {
                configuration.certificateChain = try NIOSSLCertificate.fromPEMFile(certificate).map { .certificate($0) }
                configuration.privateKey = .privateKey(try NIOSSLPrivateKey(file: key, format: .pem))
            }
            // A server that has gone doesn't answer a shutdown.
            configuration.shutdownTimeout = .milliseconds(100)
            return try NIOSSLContext(configuration: configuration)
        } catch {
            let files = [address.caFile, address.clientCertificate?.certificate, address.clientCertificate?.key]
            let names = files.compactMap(\.self).joined(separator: ", ")
            throw StoreError(
                .rejected, "TLS for the store can't be set up\(names.isEmpty ? "" : " with \(names)"): \(error)")
        }
    }
}
