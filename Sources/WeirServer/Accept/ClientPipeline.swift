import NIOCore
import NIOHTTP2
import NIOSSL
import NIOTLS
import WeirHTTP

/// Adds the handlers to a client's connection, or closes the connection when there are too many.
struct ClientPipeline: Sendable {
    private let loops: [ObjectIdentifier: NIOLoopBoundBox<ServerLoop>]
    private let limits: ConnectionLimits
    private let settings: GatewaySettings

    init(loops: [NIOLoopBoundBox<ServerLoop>], limits: ConnectionLimits, settings: GatewaySettings) {
        self.loops = Dictionary(uniqueKeysWithValues: loops.map { (ObjectIdentifier($0.eventLoop), $0) })
        self.limits = limits
        self.settings = settings
    }

    // MARK: Accept

    func configure(_ channel: any Channel, acceptedAt address: ListenAddress) throws {
        guard let loop = loops[ObjectIdentifier(channel.eventLoop)]?.value,
            let peer = peer(of: channel, at: address)
        else {
            channel.close(promise: nil)
            return
        }
        guard limits.admit(peer.address, isTrusted: loop.policy.limiter.isTrusted(peer.address)) else {
            loop.metrics.countRefusedConnection()
            channel.close(promise: nil)
            return
        }
        channel.closeFuture.whenComplete { [limits] _ in limits.leave(peer.address) }
        if peer.isSecure { try addTLS(to: channel, loop) }
        try channel.pipeline.syncOperations.addHandler(ProtocolChooser(loop, peer: peer, pipeline: self))
    }

    private func peer(of channel: any Channel, at address: ListenAddress) -> Peer? {
        if address.isUnixSocket { return Peer(.unixSocket) }
        return channel.remoteAddress?.ipAddress.flatMap { IPAddress($0.prefix { $0 != "%" }) }.map {
            Peer($0, isSecure: address.speaksTLS(hasCertificates: !settings.tls.isEmpty))
        }
    }

    private func addTLS(to channel: any Channel, _ loop: ServerLoop) throws {
        guard let certificates = loop.policy.certificates else { throw ChannelError.operationUnsupported }
        let pipeline = channel.pipeline.syncOperations
        guard certificates.dependsOnServerName else {
            return try pipeline.addHandler(NIOSSLServerHandler(context: certificates.context(for: nil)))
        }
        try pipeline.addHandler(
            ByteToMessageHandler(
                SNIHandler { result in
                    channel.eventLoop.makeCompletedFuture {
                        let name: String? = if case .hostname(let name) = result { name } else { nil }
                        let pipeline = channel.pipeline.syncOperations
                        try pipeline.addHandler(
                            NIOSSLServerHandler(context: certificates.context(for: name)),
                            position: .before(pipeline.handler(type: ProtocolChooser.self)))
                    }
                }))
    }

    // MARK: Protocols

    /// - Parameter headDeadline: the loop's tick by which the first request's head must have arrived.
    func addHTTP1(to channel: any Channel, _ loop: ServerLoop, _ peer: Peer, headDeadline: Int) throws {
        let decoder = RequestDecoder(maxHeaderSize: settings.maxHeaderSize)
        try channel.pipeline.syncOperations.addHandlers(
            ByteToMessageHandler(decoder, maximumBufferSize: settings.maxHeaderSize + 65536),
            HTTP1Connection(loop, peer: peer, decoder: decoder, headDeadline: headDeadline))
    }

    func addHTTP2(to channel: any Channel, _ loop: ServerLoop, _ peer: Peer) throws {
        let connection = HTTP2Connection(loop, peer: peer)
        var configuration = NIOHTTP2Handler.ConnectionConfiguration()
        configuration.initialSettings = [
            HTTP2Setting(parameter: .maxConcurrentStreams, value: settings.maxConcurrentStreams),
            // Twice what is served, so that a header that is a little too large gets an answer.
            HTTP2Setting(parameter: .maxHeaderListSize, value: 2 * settings.maxHeaderSize),
            HTTP2Setting(parameter: .initialWindowSize, value: HTTP2Connection.streamWindow),
        ]
        // Data for streams that were reset after an early answer may still be under way.
        configuration.maximumRecentlyResetStreams = 2 * settings.maxConcurrentStreams
        configuration.controlFrameRateLimit.maximumCount = HTTP2Connection.mostControlFrames
        try channel.pipeline.syncOperations.addHandlers(
            NIOHTTP2Handler(mode: .server, frameDelegate: connection, connectionConfiguration: configuration),
            connection)
    }
}
