import NIOCore
import NIOHTTP1
import WeirHTTP

/// Adds the handlers to a client's connection, or closes the connection when there are too many.
struct ClientPipeline: Sendable {
    private let loops: [ObjectIdentifier: NIOLoopBoundBox<ServerLoop>]
    private let limits: ConnectionLimits
    private let maxHeaderSize: Int

    init(loops: [NIOLoopBoundBox<ServerLoop>], limits: ConnectionLimits, maxHeaderSize: Int) {
        self.loops = Dictionary(uniqueKeysWithValues: loops.map { (ObjectIdentifier($0.eventLoop), $0) })
        self.limits = limits
        self.maxHeaderSize = maxHeaderSize
    }

    func configure(_ channel: any Channel) throws {
        guard let loop = loops[ObjectIdentifier(channel.eventLoop)]?.value,
            let peer = channel.remoteAddress?.ipAddress.flatMap({ IPAddress($0.prefix { $0 != "%" }) }),
            limits.admit(peer, isTrusted: loop.policy.limiter.isTrusted(peer))
        else {
            channel.close(promise: nil)
            return
        }
        var decoding = NIOHTTPDecoderLimitConfiguration()
        decoding.maxHeaderFieldSize = maxHeaderSize
        decoding.maxHeaderListSize = maxHeaderSize
        decoding.maxHeaderFieldCount = 200
        let decoder = HTTPRequestDecoder(leftOverBytesStrategy: .dropBytes, limitConfiguration: decoding)
        try channel.pipeline.syncOperations.addHandlers(
            ByteToMessageHandler(decoder, maximumBufferSize: maxHeaderSize + 65536),
            HTTP1Connection(loop, peer: PeerAddress(peer)))
    }
}
