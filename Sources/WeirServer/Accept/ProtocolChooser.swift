import NIOCore
import NIOTLS
import WeirHTTP

/// Waits for a connection's TLS handshake and its first bytes, then adds the handlers of its protocol.
///
/// ALPN names the protocol (RFC 7301). Without TLS, the first bytes do: an HTTP/2 client that knows what it is talking
/// to begins with a fixed preface (RFC 9113, 3.3 and 3.4).
final class ProtocolChooser: ChannelInboundHandler, RemovableChannelHandler, ClientConnection {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    private let loop: ServerLoop
    private let peer: Peer
    private let pipeline: ClientPipeline
    /// The loop's tick by which the first request's head must have arrived.
    private let deadline: Int
    private var context: ChannelHandlerContext?
    private var isShakingHands: Bool
    /// The first bytes, as long as they may still become the preface.
    private var first: ByteBuffer?

    init(_ loop: ServerLoop, peer: Peer, pipeline: ClientPipeline) {
        self.loop = loop
        self.peer = peer
        self.pipeline = pipeline
        isShakingHands = peer.isSecure
        deadline = loop.deadline(in: loop.settings.headerTimeout)
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        loop.add(self)
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
        loop.remove(self)
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case .handshakeCompleted(let name)? = event as? TLSUserEvent {
            isShakingHands = false
            switch name {
            case "h2": become(.http2)
            case "http/1.1": become(.http1)
            default: break
            }
        }
        context.fireUserInboundEventTriggered(event)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var bytes = unwrapInboundIn(data)
        if var first {
            first.writeBuffer(&bytes)
            bytes = first
        }
        first = bytes
        switch HTTP2Preface.look(at: bytes.readableBytesView) {
        case .complete: become(.http2)
        case .absent: become(.http1)
        case .incomplete: break
        }
    }

    private enum Choice {
        case http1, http2
    }

    private func become(_ choice: Choice) {
        guard let context else { return }
        do {
            switch choice {
            case .http1: try pipeline.addHTTP1(to: context.channel, loop, peer, headDeadline: deadline)
            case .http2: try pipeline.addHTTP2(to: context.channel, loop, peer)
            }
        } catch {
            // The channel has closed meanwhile.
            return closeNow()
        }
        loop.remove(self)
        if let first {
            self.first = nil
            context.fireChannelRead(wrapInboundOut(first))
        }
        context.pipeline.syncOperations.removeHandler(context: context, promise: nil)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        if isShakingHands { loop.metrics.countFailedHandshake() }
        closeNow()
    }

    func endIfOverdue(at tick: Int) {
        guard deadline <= tick else { return }
        if isShakingHands { loop.metrics.countFailedHandshake() }
        closeNow()
    }

    func drain() { closeNow() }

    func closeNow() { context?.close(promise: nil) }
}

/// The bytes with which every HTTP/2 connection begins (RFC 9113, 3.4).
enum HTTP2Preface {
    static let bytes = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)

    enum Finding: Equatable {
        case complete, absent
        /// The bytes may become the preface.
        case incomplete
    }

    static func look(at first: some Collection<UInt8>) -> Finding {
        if first.count >= bytes.count { return first.starts(with: bytes) ? .complete : .absent }
        return bytes.starts(with: first) ? .incomplete : .absent
    }
}
