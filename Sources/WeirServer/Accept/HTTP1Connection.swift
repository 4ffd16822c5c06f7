import NIOCore
import NIOHTTP1
import WeirHTTP

/// A client's HTTP/1.1 connection: it hands one request after another to an ``Exchange``, and writes the responses.
///
/// Parts that the client sends meanwhile wait in the inbox (pipelining; RFC 9112, 9.3.2).
final class HTTP1Connection: ChannelDuplexHandler, ClientConnection {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundIn = Never
    typealias OutboundOut = ByteBuffer

    private enum Phase {
        /// Between requests.
        case idle(headStarted: Bool)
        case serving(Exchange, RequestShape)
        /// The answer is sent; the rest of the request is read and discarded.
        case discarding(Int)
        /// Everything is sent and our side is closed. The client has until a tick to close its side.
        case lingering(until: Int)
        case closed
    }

    /// The parts of a request that decide its response's framing.
    private struct RequestShape {
        var framing: BodyFraming
        var isHead = false
        var isHTTP10 = false
    }

    private let loop: ServerLoop
    private let peer: Peer
    private let decoder: RequestDecoder
    private var context: ChannelHandlerContext?
    private var phase = Phase.idle(headStarted: false)
    /// The loop's tick by which something must happen, unless an exchange has a deadline of its own.
    private var deadline: Int
    private var inbox = Inbox()
    private var keepsAlive = true
    /// Whether the parser has failed, so that no later bytes are a request.
    private var isDead = false
    private var output = ResponseWriter()
    private var isProcessing = false
    private var holdsRead = false
    /// Whether the bytes read last completed a part of a request.
    private var sawPart = false

    /// The most bytes of an unwanted body to read in order to keep a connection.
    private static let mostDiscarded = 1 << 20
    /// The ticks that a silent client has to read its answer, and those of a client that is still sending.
    private static let lingerTicks = (silent: 4, sending: 60)

    /// - Parameter headDeadline: the loop's tick by which the first request's head must have arrived.
    init(_ loop: ServerLoop, peer: Peer, decoder: RequestDecoder, headDeadline: Int) {
        self.loop = loop
        self.peer = peer
        self.decoder = decoder
        deadline = headDeadline
    }

    // MARK: Accept

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        loop.add(self)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch phase {
        case .lingering(let end):
            // Give a client that is still sending an unwanted body time to read the answer.
            if end != .max, loop.tick < end { deadline = loop.tick + Self.lingerTicks.silent }
            return
        case .closed: return
        case .idle, .serving, .discarding: break
        }
        if isDead { return }
        let part = unwrapInboundIn(data)
        if case .head = part { decoder.headArrived() }
        sawPart = true
        if inbox.isEmpty, !isProcessing {
            // In most cases nothing waits, and the part can be taken directly.
            isProcessing = true
            let isTaken = take(part)
            isProcessing = false
            if isTaken, inbox.isEmpty { return }
            if !isTaken { inbox.putBack(part) }
        } else {
            inbox.append(part)
        }
        process()
    }

    /// Takes waiting parts as far as the present phase allows. A step that ends at once returns here instead of
    /// calling deeper, so that no client can exhaust the stack.
    private func process() {
        guard !isProcessing else { return }
        isProcessing = true
        defer { isProcessing = false }
        while let part = inbox.popFirst() {
            if take(part) { continue }
            inbox.putBack(part)
            return
        }
    }

    /// Takes one part. Returns false if the present phase has to end first.
    private func take(_ part: HTTPServerRequestPart) -> Bool {
        switch (phase, part) {
        case (.idle, .head(let head)):
            // Stop answering a client that isn't reading its responses.
            guard isWritable else { return false }
            begin(head)
        case (.serving(let exchange, _), .body(let bytes)):
            guard exchange.takesBody else { return false }
            exchange.received(bytes)
        case (.serving(let exchange, let request), .end):
            // A request without a body has already ended with its head.
            if request.framing == .none { return true }
            guard exchange.takesBody else { return false }
            exchange.requestEnded()
        case (.serving, .head): return false
        case (.discarding(let count), .body(let bytes)): discard(count + bytes.readableBytes)
        case (.discarding, .end): next()
        case (.idle, _), (.discarding, .head), (.lingering, _), (.closed, _):
            // This part belongs to a request that was answered early.
            break
        }
        return true
    }

    private func begin(_ head: HTTPRequestHead) {
        let exchange = loop.takeExchange()
        keepsAlive = head.isKeepAlive && !loop.isDraining && !head.asksForUpgrade
        var request = RequestShape(
            framing: .none, isHead: head.method == .HEAD, isHTTP10: head.version != .http1_1)
        do {
            request.framing = try RequestFraming.check(head)
            phase = .serving(exchange, request)
            exchange.begin(head, framing: request.framing, from: peer, for: self)
        } catch {
            keepsAlive = false
            phase = .serving(exchange, request)
            exchange.reject(error, head, framing: .none, from: peer, for: self)
        }
    }

    // MARK: Read, as fast as it can be passed on

    private var mayRead: Bool {
        guard inbox.hasRoom else { return false }
        return switch phase {
        case .idle, .discarding: isWritable
        case .serving(let exchange, _): exchange.mayRead
        case .lingering, .closed: true
        }
    }

    func read(context: ChannelHandlerContext) {
        if mayRead { context.read() } else { holdsRead = true }
    }

    private func readOn() {
        guard holdsRead, mayRead else { return }
        holdsRead = false
        context?.read()
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        switch phase {
        case .serving(let exchange, _): exchange.flushRequest()
        case .idle(headStarted: false) where !sawPart:
            // Bytes arrived, but not a whole head. The rest must follow within the header timeout.
            phase = .idle(headStarted: true)
            deadline = loop.deadline(in: loop.settings.headerTimeout)
        case .idle, .discarding, .lingering, .closed: break
        }
        sawPart = false
        context.fireChannelReadComplete()
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable {
            if case .serving(let exchange, _) = phase { exchange.clientIsWritable() }
            process()
            readOn()
        }
        context.fireChannelWritabilityChanged()
    }

    // MARK: After the answer

    /// Continues after the response: discards the rest of the request, then takes the next one or closes.
    func exchangeEnded(requestEnded: Bool) {
        guard case .serving = phase else { return }
        if requestEnded {
            next()
        } else if keepsAlive {
            phase = .discarding(0)
            touch()
            process()
            readOn()
        } else {
            closeGently()
        }
    }

    private func discard(_ count: Int) {
        phase = .discarding(count)
        if count > Self.mostDiscarded { closeGently() }
    }

    /// Takes the next request, unless the connection has to close.
    private func next() {
        guard keepsAlive, !isDead, !loop.isDraining else {
            closeGently()
            return
        }
        phase = .idle(headStarted: false)
        touch()
        readOn()
        if !inbox.isEmpty { process() }
    }

    /// Closes our side once everything is sent, then gives the client a moment to read it. Closing at once with unread
    /// bytes would reset the connection and destroy the answer.
    private func closeGently() {
        guard let context else { return }
        switch phase {
        case .lingering, .closed: return
        case .idle, .serving, .discarding: break
        }
        // A client that reads slowly may take as long as while a response is under way.
        phase = .lingering(until: .max)
        inbox.removeAll()
        deadline = loop.deadline(in: loop.settings.responseTimeout)
        // NIO closes the output after earlier writes are sent.
        context.flush()
        let closed = context.eventLoop.makePromise(of: Void.self)
        let connection = NIOLoopBound(self, eventLoop: context.eventLoop)
        closed.futureResult.whenComplete { _ in connection.value.outputClosed() }
        context.close(mode: .output, promise: closed)
        readOn()
    }

    private func outputClosed() {
        guard case .lingering = phase else { return }
        phase = .lingering(until: loop.tick + Self.lingerTicks.sending)
        deadline = loop.tick + Self.lingerTicks.silent
    }

    // MARK: Ends

    private func touch() { deadline = loop.deadline(in: loop.settings.idleTimeout) }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        guard error is HTTPParserError || error is RequestDecoder.LineError else {
            closeNow()
            return
        }
        if isDead { return }
        isDead = true
        keepsAlive = false
        switch phase {
        case .idle: rejectUnread(RequestFraming.problem(error))
        case .discarding: closeGently()
        case .serving(let exchange, _):
            // A request that arrived whole is served; one with a broken body is not.
            exchange.bodyBroke(RequestFraming.problem(error), bodyHasArrived: inbox.hasEnd)
        case .lingering, .closed: break
        }
    }

    /// Answers a request whose head couldn't be read.
    private func rejectUnread(_ problem: Problem) {
        keepsAlive = false
        let exchange = loop.takeExchange()
        phase = .serving(exchange, RequestShape(framing: .none))
        exchange.reject(problem, nil, framing: .none, from: peer, for: self)
    }

    func channelInactive(context: ChannelHandlerContext) {
        closed()
        context.fireChannelInactive()
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        closed()
        self.context = nil
    }

    /// Cleans up after the connection has closed: frees permits and releases the upstream.
    private func closed() {
        let before = phase
        if case .closed = before { return }
        phase = .closed
        inbox.removeAll()
        if case .serving(let exchange, _) = before { exchange.clientLeft() }
        loop.remove(self)
    }

    func closeNow() { context?.close(promise: nil) }

    func drain() {
        keepsAlive = false
        if case .idle = phase, inbox.isEmpty { closeNow() }
    }

    func endIfOverdue(at tick: Int) {
        switch phase {
        case .serving(let exchange, _):
            guard exchange.deadline <= tick else { return }
            // A client that doesn't send its request in time isn't worth keeping.
            if !exchange.requestHasEnded { keepsAlive = false }
            exchange.deadlinePassed()
        case .idle(headStarted: true): if deadline <= tick { rejectUnread(.requestTimeout) }
        case .idle, .discarding, .lingering, .closed: if deadline <= tick { closeNow() }
        }
    }
}

// MARK: The response

extension HTTP1Connection: ExchangeClient {
    var isWritable: Bool { context?.channel.isWritable ?? true }

    func sendContinue() {
        guard case .serving(_, let request) = phase, !request.isHTTP10, inbox.isEmpty, let context else { return }
        output.addContinue(context.channel.allocator)
        flush()
    }

    func sendInterim(_ head: ResponseHeader) {
        // HTTP/1.0 has none (RFC 9110, 15.2).
        guard case .serving(_, let request) = phase, !request.isHTTP10, let context else { return }
        output.add(head, isChunked: false, connection: nil, context.channel.allocator)
        flush()
    }

    func readBody() {
        process()
        readOn()
    }

    func send(_ answer: Answer) {
        guard case .serving(let exchange, let request) = phase, let context else { return }
        closeUnlessWorthDiscarding(exchange, request)
        output.add(
            answer, connection: connectionField(request), omitsBody: request.isHead, context.channel.allocator)
        flush()
    }

    func takes(_ head: HTTPResponseHead) -> Bool { true }

    func startResponse(_ head: ResponseHeader) {
        guard case .serving(let exchange, let request) = phase, let context else { return }
        closeUnlessWorthDiscarding(exchange, request)
        let needsFraming = head.hasBody && !head.hasLength
        // For an HTTP/1.0 client, the connection's end marks the body's end.
        if needsFraming, request.isHTTP10 { keepsAlive = false }
        output.add(
            head, isChunked: needsFraming && !request.isHTTP10, connection: connectionField(request),
            context.channel.allocator)
    }

    func sendResponse(_ bytes: ByteBuffer) {
        guard let context else { return }
        for buffer in output.add(bytes, context.channel.allocator) {
            context.write(wrapOutboundOut(buffer), promise: nil)
        }
    }

    func endResponse(_ trailers: HTTPHeaders?) {
        guard let context else { return }
        output.end(trailers, context.channel.allocator)
    }

    func flush() {
        guard let context else { return }
        if let bytes = output.take() { context.write(wrapOutboundOut(bytes), promise: nil) }
        context.flush()
    }

    func abort() {
        phase = .lingering(until: loop.tick)
        closeNow()
    }

    /// Closes the connection if the rest of the request is too long to be worth reading.
    private func closeUnlessWorthDiscarding(_ exchange: Exchange, _ request: RequestShape) {
        if !exchange.requestHasEnded, !request.framing.isKnown(toFit: Self.mostDiscarded) { keepsAlive = false }
    }

    private func connectionField(_ request: RequestShape) -> StaticString? {
        if !keepsAlive { return "close" }
        return request.isHTTP10 ? "keep-alive" : nil
    }
}
