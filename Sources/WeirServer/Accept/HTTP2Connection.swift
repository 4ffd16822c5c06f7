import NIOCore
import NIOHPACK
import NIOHTTP2
import WeirHTTP

/// A client's HTTP/2 connection: it hands each stream's request to an ``Exchange`` and shares the connection between
/// them.
///
/// NIO's `NIOHTTP2Handler` in front of it reads and writes frames, checks their order, and keeps to the client's
/// flow-control windows.
final class HTTP2Connection: ChannelDuplexHandler, ClientConnection, NIOHTTP2FrameDelegate {
    typealias InboundIn = HTTP2Frame
    typealias OutboundIn = Never
    typealias OutboundOut = HTTP2Frame

    let loop: ServerLoop
    let peer: Peer
    private var context: ChannelHandlerContext?
    private var streams: [HTTP2StreamID: HTTP2Stream] = [:]
    /// The streams whose exchanges got data since the last flush to the upstream.
    private var fed: [HTTP2Stream] = []
    /// The highest stream that the client has opened.
    private var lastStream = HTTP2StreamID.rootStream
    /// The loop's tick by which a connection without streams must have a new one.
    private var deadline: Int
    private var isReading = false
    private var holdsRead = false
    /// The loop's tick by which a client that doesn't read must read on, or it is cut off.
    private var writeDeadline = Int.max
    private var willFlush = false
    private var drainPhase = DrainPhase.none
    /// Whether NIO has told the client that it broke the protocol.
    private var isBroken = false
    /// Whether our side is closed, or will be once everything is sent. The client has until the deadline to read it.
    private var isClosing = false
    private var updates = WindowUpdateBudget()
    /// The connection's flow-control window as the client sees it, and the received bytes that no exchange has taken.
    private var window = 65_535
    private var heldBytes = 0

    private enum DrainPhase {
        case none
        /// The client was told that this connection will end. Requests that it sends before it knows are still served,
        /// until a tick.
        case announced(until: Int)
        /// The client was told which stream is the last.
        case final(HTTP2StreamID)
    }

    /// The data that one stream may send before its exchange takes it, and that all streams of a connection may.
    static let streamWindow = 256 * 1024
    static let connectionWindow = 1024 * 1024
    /// The ticks that a client has to read what was sent last.
    private static let lingerTicks = 4
    /// The most PING, SETTINGS and PRIORITY frames in 30 s.
    static let mostControlFrames = 600

    init(_ loop: ServerLoop, peer: Peer) {
        self.loop = loop
        self.peer = peer
        deadline = loop.deadline(in: loop.settings.idleTimeout)
    }

    // MARK: Accept

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        loop.add(self)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !isClosing else { return }
        isReading = true
        let frame = unwrapInboundIn(data)
        switch frame.payload {
        case .headers(let headers):
            if let stream = streams[frame.streamID] {
                // Trailers are dropped, because an upstream that merges them into the header would trust them.
                stream.requestEnded()
            } else {
                open(frame.streamID, headers)
            }
        case .data(let data): received(data, on: frame.streamID)
        case .windowUpdate:
            if !updates.spend() { endForFlood() }
        case .ping(HTTP2Connection.drainPing, ack: true): sendFinalGoAway()
        case .goAway, .ping, .settings, .priority, .rstStream, .pushPromise, .alternativeService, .origin: break
        }
    }

    private func open(_ id: HTTP2StreamID, _ headers: HTTP2Frame.FramePayload.Headers) {
        if case .final(let last) = drainPhase, id > last {
            // The client knows that this one isn't served, and may send it again elsewhere.
            write(.rstStream(.refusedStream), on: id)
            return
        }
        lastStream = max(lastStream, id)
        deadline = loop.deadline(in: loop.settings.idleTimeout)
        // A stream is a request in progress, like a connection of its own.
        let isTrusted = loop.policy.limiter.isTrusted(peer.address)
        guard streams.count < loop.settings.maxConcurrentStreams,
            loop.connectionLimits.admit(peer.address, isTrusted: isTrusted)
        else {
            loop.metrics.countRefusedConnection()
            write(.rstStream(.refusedStream), on: id)
            return
        }
        let stream = HTTP2Stream(id, on: self)
        streams[id] = stream
        stream.begin(headers.headers, endsStream: headers.endStream)
    }

    private func received(_ data: HTTP2Frame.FramePayload.Data, on id: HTTP2StreamID) {
        guard let stream = streams[id], case .byteBuffer(let bytes) = data.data else { return }
        heldBytes += bytes.readableBytes
        let padding = data.paddingBytes.map { $0 + 1 } ?? 0
        if stream.received(bytes, padding: padding, endsStream: data.endStream) { fed.append(stream) }
    }

    // MARK: Read, as fast as the client takes answers

    func read(context: ChannelHandlerContext) {
        if context.channel.isWritable { context.read() } else { holdsRead = true }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        isReading = false
        for stream in fed { stream.flushRequest() }
        fed.removeAll(keepingCapacity: true)
        giveBackWindow()
        flushNow()
        context.fireChannelReadComplete()
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        writeDeadline = context.channel.isWritable ? .max : loop.deadline(in: loop.settings.responseTimeout)
        if context.channel.isWritable {
            giveBackWindow()
            for stream in Array(streams.values) { stream.connectionIsWritable() }
            if holdsRead {
                holdsRead = false
                context.read()
            }
        }
        context.fireChannelWritabilityChanged()
    }

    /// Notes that a stream's data was taken or discarded.
    func tookData(_ count: Int) {
        heldBytes -= count
        if !isReading { giveBackWindow() }
    }

    /// Lets the client send more, as far as nothing waits to be taken. Data on streams that have ended counts, too.
    private func giveBackWindow() {
        // While NIO holds frames back, it reports the window as it was.
        guard isWritable else { return }
        let missing = Self.connectionWindow - window - heldBytes
        guard missing >= Self.connectionWindow / 2 else { return }
        window += missing
        write(.windowUpdate(windowSizeIncrement: missing), on: .rootStream)
        flush()
    }

    // MARK: Events

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        switch event {
        case let event as NIOHTTP2WindowUpdatedEvent:
            if event.streamID == .rootStream, let size = event.inboundWindowSize { window = size }
        case let event as StreamClosedEvent: closed(event.streamID)
        default: break
        }
        context.fireUserInboundEventTriggered(event)
    }

    private func closed(_ id: HTTP2StreamID) {
        guard let stream = streams.removeValue(forKey: id) else { return }
        loop.connectionLimits.leave(peer.address)
        stream.closed()
        guard streams.isEmpty else { return }
        deadline = loop.deadline(in: loop.settings.idleTimeout)
        if case .final = drainPhase { closeGently() }
    }

    func wroteFrame(_ frame: HTTP2Frame) {
        switch frame.payload {
        case .goAway(_, let code, _): if code != .noError { isBroken = true }
        case .data(let data): updates.sent(data.data.readableBytes)
        default: break
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        if isClosing { return }
        if isBroken {
            loop.metrics.countBrokenHTTP2Connection()
            closeGently()
        } else if let error = error as? NIOHTTP2Errors.StreamError, let stream = streams[error.streamID] {
            // NIO refuses to write what the upstream said, and has not reset the stream.
            stream.breakOff()
        } else if error is NIOHTTP2Errors.UnableToSerializeFrame {
            // The client's table of header fields would be another than ours from now on.
            closeNow()
        } else if error is any NIOHTTP2Error {
            // It ends one stream only, and NIO has reset that stream.
            loop.metrics.countBrokenHTTP2Stream()
        } else {
            closeNow()
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        ended()
        context.fireChannelInactive()
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        ended()
        self.context = nil
    }

    private func ended() {
        loop.remove(self)
        for id in Array(streams.keys) { closed(id) }
    }

    var streamCount: Int { streams.count }

    // MARK: Write

    var isWritable: Bool { context?.channel.isWritable ?? false }

    func write(_ payload: HTTP2Frame.FramePayload, on id: HTTP2StreamID, promise: EventLoopPromise<Void>? = nil) {
        guard let context else {
            promise?.fail(ChannelError.alreadyClosed)
            return
        }
        context.write(wrapOutboundOut(HTTP2Frame(streamID: id, payload: payload)), promise: promise)
    }

    func makePromise() -> EventLoopPromise<Void> { loop.eventLoop.makePromise() }

    /// Flushes soon: what several exchanges write while the loop works off its events is sent together.
    func flush() {
        guard !willFlush, !isReading, let context else { return }
        willFlush = true
        let connection = NIOLoopBound(self, eventLoop: context.eventLoop)
        context.eventLoop.execute { connection.value.flushNow() }
    }

    private func flushNow() {
        willFlush = false
        context?.flush()
    }

    // MARK: End

    /// Closes a connection whose client makes work without asking for anything.
    private func endForFlood() {
        isBroken = true
        writeGoAway(after: lastStream, .enhanceYourCalm)
        loop.metrics.countBrokenHTTP2Connection()
        closeGently()
    }

    /// Tells the client that no stream after `last` will be served.
    private func writeGoAway(after last: HTTP2StreamID, _ code: HTTP2ErrorCode = .noError) {
        write(.goAway(lastStreamID: last, errorCode: code, opaqueData: nil), on: .rootStream)
    }

    private static let drainPing = HTTP2PingData(withInteger: 0x7765_6972)
    /// The ticks that a client has to acknowledge the announcement.
    private static let announcementTicks = 4

    /// Serves no more requests than the client has sent by the time it learns of it (RFC 9113, 6.8).
    func drain() {
        guard case .none = drainPhase else { return }
        drainPhase = .announced(until: loop.tick + Self.announcementTicks)
        writeGoAwayPastNIO(after: .maxID)
        // Its acknowledgement says that the client has read the announcement, so that no request can be under way.
        write(.ping(Self.drainPing, ack: false), on: .rootStream)
        flush()
    }

    /// Sends a GOAWAY without telling NIO's handler.
    ///
    /// After a GOAWAY of any number, the handler would take no further streams, and could not report faults. NIO writes
    /// only whole frames, so another one may stand between them.
    private func writeGoAwayPastNIO(after last: HTTP2StreamID) {
        guard let frames = try? context?.pipeline.syncOperations.context(handlerType: NIOHTTP2Handler.self) else {
            return
        }
        var frame = ByteBuffer()
        // Its length, type, flags, and stream, then the last stream's number and the code (RFC 9113, 4.1 and 6.8).
        frame.writeBytes([0, 0, 8, 7, 0])
        frame.writeInteger(UInt32(0))
        frame.writeInteger(UInt32(Int(last)))
        frame.writeInteger(UInt32(0))
        frames.writeAndFlush(NIOAny(frame), promise: nil)
    }

    private func sendFinalGoAway() {
        guard case .announced = drainPhase else { return }
        drainPhase = .final(lastStream)
        writeGoAwayPastNIO(after: lastStream)
        if streams.isEmpty { closeGently() }
    }

    /// Closes our side once everything is sent, then gives the client a moment to read it.
    private func closeGently() {
        guard !isClosing, let context else { return }
        isClosing = true
        // A client that reads slowly may take as long as while a response is under way.
        deadline = isBroken ? loop.tick + 1 : loop.deadline(in: loop.settings.responseTimeout)
        let connection = NIOLoopBound(self, eventLoop: context.eventLoop)
        // NIO may be in the middle of a flush, and closes the output after earlier writes are sent.
        context.eventLoop.execute {
            connection.value.flushNow()
            let closed = connection.value.loop.eventLoop.makePromise(of: Void.self)
            closed.futureResult.whenComplete { _ in connection.value.outputClosed() }
            connection.value.context?.close(mode: .output, promise: closed)
        }
    }

    private func outputClosed() { deadline = min(deadline, loop.tick + Self.lingerTicks) }

    func closeNow() { context?.close(promise: nil) }

    func endIfOverdue(at tick: Int) {
        if isClosing {
            if deadline <= tick { closeNow() }
            return
        }
        if writeDeadline <= tick {
            closeNow()
            return
        }
        updates.tick()
        if case .announced(let end) = drainPhase, end <= tick { sendFinalGoAway() }
        for stream in Array(streams.values) { stream.endIfOverdue(at: tick) }
        guard streams.isEmpty, deadline <= tick else { return }
        writeGoAway(after: lastStream)
        closeGently()
    }
}
