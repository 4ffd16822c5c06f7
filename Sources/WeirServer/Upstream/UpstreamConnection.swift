import NIOCore
import NIOHTTP1

/// One connection to the upstream. It carries one exchange after another, and is idle in the pool between them.
final class UpstreamConnection: ChannelDuplexHandler {
    typealias InboundIn = HTTPClientResponsePart
    typealias OutboundIn = HTTPClientRequestPart
    typealias OutboundOut = HTTPClientRequestPart

    private(set) var context: ChannelHandlerContext?
    /// The exchange that waits for a response.
    private var exchange: Exchange?
    private unowned let pool: ConnectionPool
    /// Whether it has carried an exchange before. The upstream may have closed it since.
    private(set) var isReused = false
    /// Whether the last response allows reuse.
    private var isReusable = true
    private var hasFailed = false
    private var holdsRead = false
    /// The loop's tick at which it became idle.
    var restingSince = 0
    /// The loop's tick from which it carries no further exchange.
    let expiry: Int

    /// The most fields in the header of an upstream's answer.
    static let mostFields = 1000

    init(_ pool: ConnectionPool, expiry: Int) {
        self.pool = pool
        self.expiry = expiry
    }

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }
    func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

    var isWritable: Bool { context?.channel.isWritable ?? false }

    // MARK: Used by a request

    func begin(_ exchange: Exchange) {
        self.exchange = exchange
        isReusable = true
    }

    func write(_ part: HTTPClientRequestPart) {
        context?.write(wrapOutboundOut(part), promise: nil)
    }

    func flush() { context?.flush() }

    /// Resumes reading after the client has taken the data. Returns whether reading had paused.
    @discardableResult
    func resumeReading() -> Bool {
        guard holdsRead else { return false }
        holdsRead = false
        context?.read()
        return true
    }

    /// Ends an exchange. The connection returns to the pool if both sides of the exchange are complete; else it is
    /// closed.
    func end(isReusable isWhole: Bool) {
        exchange = nil
        isReused = true
        if isWhole, isReusable, !hasFailed, context?.channel.isActive == true {
            pool.rest(self)
            resumeReading()
        } else {
            close()
        }
    }

    func close() {
        exchange = nil
        context?.close(promise: nil)
    }

    // MARK: Events

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard let exchange, !hasFailed else {
            // Data without a request makes the connection unusable.
            hasFailed = true
            context.close(promise: nil)
            return
        }
        let part = unwrapInboundIn(data)
        if case .head(let head) = part, !head.isKeepAlive { isReusable = false }
        exchange.received(part, from: self)
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        exchange?.flushResponse()
    }

    func read(context: ChannelHandlerContext) {
        if let exchange, !exchange.clientTakesResponse {
            holdsRead = true
        } else {
            context.read()
        }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable { exchange?.upstreamIsWritable() }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        switch error as? HTTPParserError {
        case .headerOverflow?: fail(because: .upstreamHeaderTooLarge)
        // The parser's word for a connection that ends in the middle of an answer.
        case .invalidEOFState?, nil: fail(because: .upstreamClosed)
        default: fail(because: .upstreamMalformed)
        }
        context.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) {
        fail(because: .upstreamClosed)
    }

    private func fail(because problem: Problem) {
        // Remember this, because an end after an error is not the response's real end.
        hasFailed = true
        pool.forget(self)
        guard let exchange else { return }
        self.exchange = nil
        exchange.upstreamFailed(self, because: problem)
    }
}

extension UpstreamConnection: Equatable {
    static func == (left: UpstreamConnection, right: UpstreamConnection) -> Bool { left === right }
}
