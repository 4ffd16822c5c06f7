import NIOCore
import NIOHTTP1

/// One connection to the upstream: it carries one exchange after another, and rests in the pool between them.
final class UpstreamConnection: ChannelDuplexHandler {
    typealias InboundIn = HTTPClientResponsePart
    typealias OutboundIn = HTTPClientRequestPart
    typealias OutboundOut = HTTPClientRequestPart

    private(set) var context: ChannelHandlerContext?
    /// Whose response is awaited.
    private var flow: RequestFlow?
    private unowned let pool: UpstreamPool
    /// Whether it has carried an exchange before; the upstream may have closed it meanwhile.
    private(set) var isReused = false
    /// Whether the last response lets it be used again.
    private var isReusable = true
    private var hasFailed = false
    private var holdsRead = false
    /// The loop's tick at which it came to rest.
    var restingSince = 0

    init(_ pool: UpstreamPool) {
        self.pool = pool
    }

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }
    func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

    var isWritable: Bool { context?.channel.isWritable ?? false }

    // MARK: Used by a request

    func begin(_ flow: RequestFlow) {
        self.flow = flow
        isReusable = true
    }

    func write(_ part: HTTPClientRequestPart) {
        context?.write(wrapOutboundOut(part), promise: nil)
    }

    func flush() { context?.flush() }

    /// Reads on, after the client has taken what was read.
    func resumeReading() {
        guard holdsRead else { return }
        holdsRead = false
        context?.read()
    }

    /// Ends an exchange: back to the pool when both sides are through with it, else closed.
    func end(isComplete: Bool) {
        flow = nil
        isReused = true
        if isComplete, isReusable, !hasFailed, context != nil {
            pool.rest(self)
            resumeReading()
        } else {
            close()
        }
    }

    func close() {
        flow = nil
        context?.close(promise: nil)
    }

    // MARK: Events

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard let flow, !hasFailed else {
            // Nothing was asked, so nothing may come.
            hasFailed = true
            context.close(promise: nil)
            return
        }
        let part = unwrapInboundIn(data)
        if case .head(let head) = part, !head.isKeepAlive { isReusable = false }
        flow.received(part, from: self)
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        flow?.flushResponse()
    }

    func read(context: ChannelHandlerContext) {
        if let flow, !flow.isWritable {
            holdsRead = true
        } else {
            context.read()
        }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable { flow?.upstreamIsWritable() }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        fail(context)
        context.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) {
        fail(context)
    }

    private func fail(_ context: ChannelHandlerContext) {
        // Kept, because an end that follows an error is not the response's true end.
        hasFailed = true
        pool.forget(self)
        guard let flow else { return }
        self.flow = nil
        flow.upstreamFailed(self)
    }
}
