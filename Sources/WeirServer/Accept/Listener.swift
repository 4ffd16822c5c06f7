import NIOCore
import NIOPosix
import WeirHTTP

/// One address that clients connect to.
struct Listener {
    let address: String
    let pipeline: ClientPipeline

    init(_ address: String, pipeline: ClientPipeline) {
        self.address = address
        self.pipeline = pipeline
    }

    /// Starts accepting connections.
    ///
    /// - Throws: ``StartError``, which names the address and the reason.
    func open(on group: any EventLoopGroup) async throws(StartError) -> any Channel {
        guard let socket = SocketText(address) else {
            throw StartError(.cannotListen, "can't listen on \(address): it is not an address and a port")
        }
        let pipeline = pipeline
        do {
            return try await ServerBootstrap(group: group)
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
                    channel.eventLoop.makeCompletedFuture { try pipeline.configure(channel) }
                }
                .bind(host: socket.host, port: socket.port)
                .get()
        } catch {
            throw StartError(cannotListenOn: address, error)
        }
    }
}
