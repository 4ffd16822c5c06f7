import Logging
import NIOCore
import NIOPosix
import Synchronization
import WeirHTTP

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// Opens one of the addresses that clients connect to.
struct Listener {
    let address: ListenAddress
    let pipeline: ClientPipeline
    let settings: GatewaySettings
    private let complaint: AcceptComplaint

    init(_ address: ListenAddress, pipeline: ClientPipeline, settings: GatewaySettings, logger: Logger) {
        self.address = address
        self.pipeline = pipeline
        self.settings = settings
        complaint = AcceptComplaint(address: address.description, logger: logger)
    }

    /// Starts accepting connections.
    ///
    /// - Returns: the sockets, several for a name with several addresses.
    /// - Throws: ``StartError``, which names the address and the reason.
    func open(on group: any EventLoopGroup) async throws(StartError) -> [OpenListener] {
        switch address.place {
        case .unixSocket(let path): return [try await openUnixSocket(path, group)]
        case .host(let socket):
            let addresses: [SocketAddress]
            do {
                addresses = try HostAddresses.resolve(socket.host, port: socket.port)
            } catch {
                throw StartError(.cannotListen, "can't listen on \(address): \(error)", cause: error)
            }
            return try await open(addresses, group)
        case .allInterfaces(let port):
            let addresses = ["0.0.0.0", "::"].compactMap { try? SocketAddress(ipAddress: $0, port: port) }
            return try await open(addresses, group, separatesIPv6: true)
        }
    }

    /// Opens every address that this machine has. At least one must open.
    private func open(
        _ addresses: [SocketAddress], _ group: any EventLoopGroup, separatesIPv6: Bool = false
    ) async throws(StartError) -> [OpenListener] {
        var open: [OpenListener] = []
        var failure: (any Error)?
        for var address in addresses {
            // A port chosen by the system is the same for all of them.
            if address.port == 0 { address.port = open.first?.channel.localAddress?.port ?? 0 }
            var bootstrap = bootstrap(group)
            if separatesIPv6, case .v6 = address {
                bootstrap = bootstrap.serverChannelOption(.ipv6Only, value: 1)
            }
            do {
                open.append(OpenListener(try await bootstrap.bind(to: address).get(), scheme: scheme))
            } catch let error as IOError where addresses.count > 1 && Self.isMissing(error) {
                // The name has an address of a protocol that this machine doesn't have.
                failure = error
            } catch {
                failure = error
                for listener in open { await listener.close() }
                open = []
                break
            }
        }
        if open.isEmpty, let failure { throw StartError(cannotListenOn: address.description, failure) }
        return open
    }

    private static func isMissing(_ error: IOError) -> Bool {
        error.errnoCode == EADDRNOTAVAIL || error.errnoCode == EAFNOSUPPORT
    }

    private func openUnixSocket(_ path: String, _ group: any EventLoopGroup) async throws(StartError) -> OpenListener {
        do {
            try await UnixSocketFile.removeIfAbandoned(path, group)
            let channel = try await bootstrap(group).bind(unixDomainSocketPath: path).get()
            do {
                try UnixSocketFile.setMode(path, settings.socketMode)
            } catch {
                try? await channel.close()
                throw error
            }
            return OpenListener(channel, path: path)
        } catch {
            throw StartError(cannotListenOn: address.description, error)
        }
    }

    private var scheme: String { address.speaksTLS(hasCertificates: !settings.tls.isEmpty) ? "https" : "http" }

    private func bootstrap(_ group: any EventLoopGroup) -> ServerBootstrap {
        let pipeline = pipeline
        let address = address
        let complaint = complaint
        return ServerBootstrap(group: group)
            .serverChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let backoff = AcceptBackoffHandler(shouldForwardIOErrorCaught: false) { error in
                        complaint.say(error)
                        return .milliseconds(100)
                    }
                    try channel.pipeline.syncOperations.addHandler(backoff)
                }
            }
            .serverChannelOption(.backlog, value: 1024)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .serverChannelOption(.maxMessagesPerRead, value: 16)
            .childChannelOption(.maxMessagesPerRead, value: 1)
            // A channel keeps its last buffer, so start with a small one for idle connections. It grows with
            // uploads.
            .childChannelOption(
                .recvAllocator,
                value: AdaptiveRecvByteBufferAllocator(minimum: 1024, initial: 2048, maximum: 65536)
            )
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try pipeline.configure(channel, acceptedAt: address) }
            }
    }
}

/// Says why connections can't be accepted, once a minute.
final class AcceptComplaint: Sendable {
    private let address: String
    private let logger: Logger
    private let next = Mutex(NIODeadline.uptimeNanoseconds(0))

    init(address: String, logger: Logger) {
        self.address = address
        self.logger = logger
    }

    func say(_ error: IOError) {
        let now = NIODeadline.now()
        let isDue = next.withLock { next in
            guard now >= next else { return false }
            next = now + .minutes(1)
            return true
        }
        guard isDue else { return }
        let reason = String(cString: strerror(error.errnoCode))
        logger.error("connections to \(address) can't be accepted: \(reason)")
    }
}

extension ChannelOption where Self == ChannelOptions.Types.SocketOption {
    /// Whether an IPv6 socket leaves IPv4 to others.
    fileprivate static var ipv6Only: Self {
        ChannelOptions.Types.SocketOption(level: .ipv6, name: .ipv6_v6only)
    }
}

/// A socket that accepts connections.
struct OpenListener: Sendable {
    let channel: any Channel
    /// Where clients connect, such as `https://127.0.0.1:8443` or `unix:/run/weir.sock`.
    let name: String
    /// The port; 0 for a Unix socket.
    let port: Int

    init(_ channel: any Channel, scheme: String) {
        self.channel = channel
        port = channel.localAddress?.port ?? 0
        let host = channel.localAddress?.ipAddress ?? ""
        name = host.contains(":") ? "\(scheme)://[\(host)]:\(port)" : "\(scheme)://\(host):\(port)"
    }

    init(_ channel: any Channel, path: String) {
        self.channel = channel
        port = 0
        name = "unix:\(path)"
    }

    /// Stops accepting, and removes a Unix socket's file.
    func close() async { try? await channel.close() }
}
