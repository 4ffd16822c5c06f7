import NIOCore
import NIOHPACK
import NIOHTTP1
import NIOHTTP2
import Weir
import WeirHTTP

/// One stream of an HTTP/2 connection: one request and its response.
final class HTTP2Stream {
    private enum Phase {
        /// The request must have no body, and its end has yet to prove that it has none.
        case awaitingEnd(HTTPRequestHead)
        case serving(Exchange)
        /// The response is written; the rest of the request is discarded.
        case discarding(Int)
        /// Everything is written, but the client may not have taken all of it yet.
        case finishing
        case closed
    }

    let id: HTTP2StreamID
    private let connection: HTTP2Connection
    private var phase = Phase.finishing
    private var isHead = false
    private var framing = BodyFraming.none
    /// The loop's tick by which something must happen, unless an exchange has a deadline of its own.
    private var deadline = Int.max

    /// Parts of the body that the exchange can't take yet.
    private var inbox = BodyParts()
    private var requestHasEnded = false
    private var isFeeding = false
    private var window = InboundWindow(size: HTTP2Connection.streamWindow)
    /// The window to give back once the connection is writable. NIO would hold the frame back, and take it for a fault
    /// if the client ends the stream meanwhile.
    private var owedWindow = 0

    /// The parts of the response that wait to be written, to make few frames.
    private var head: HPACKHeaders?
    private var body: ByteBuffer?
    /// The bytes written that the client's window or connection has not taken yet.
    private var unsent = 0
    private var responseHasEnded = false

    /// The unsent bytes at which the exchange must pause.
    private static let mostUnsent = 64 * 1024
    /// The longest body, in bytes, that is copied to make one frame of several parts.
    private static let mostCopied = 16 * 1024
    /// The most bytes of an unwanted body to read before the stream is reset.
    private static let mostDiscarded = 1 << 20

    init(_ id: HTTP2StreamID, on connection: HTTP2Connection) {
        self.id = id
        self.connection = connection
    }

    private var loop: ServerLoop { connection.loop }

    private func touch(_ timeout: Timestamp) { deadline = loop.deadline(in: timeout) }

    // MARK: The request

    func begin(_ fields: HPACKHeaders, endsStream: Bool) {
        requestHasEnded = endsStream
        // Also a request that isn't served must get no body in answer to HEAD.
        isHead = fields.first(name: ":method") == "HEAD"
        do {
            let request = try HTTP2Request(fields, endsStream: endsStream, maxSize: loop.settings.maxHeaderSize)
            if let framing = request.framing {
                serve(request.head, framing)
            } else {
                phase = .awaitingEnd(request.head)
                touch(loop.settings.headerTimeout)
            }
        } catch {
            reject(error, nil)
        }
    }

    private func serve(_ head: HTTPRequestHead, _ framing: BodyFraming) {
        self.framing = framing
        let exchange = loop.takeExchange()
        phase = .serving(exchange)
        exchange.begin(head, framing: framing, from: connection.peer, for: self)
    }

    private func reject(_ problem: Problem, _ head: HTTPRequestHead?) {
        let exchange = loop.takeExchange()
        phase = .serving(exchange)
        exchange.reject(problem, head, framing: .none, from: connection.peer, for: self)
    }

    /// Handles a part of the body.
    ///
    /// - Parameters:
    ///   - padding: the bytes of padding, which count for flow control.
    ///   - endsStream: whether it is the last part.
    /// - Returns: whether the exchange has taken something that has to be flushed.
    func received(_ bytes: ByteBuffer, padding: Int, endsStream: Bool) -> Bool {
        // A stream that the client has ended has no window to give back, and can't be reset once all is answered.
        requestHasEnded = endsStream
        if padding > 0 { giveBack(padding) }
        let mustFlush = take(bytes)
        if endsStream { requestEnded() }
        return mustFlush
    }

    private func take(_ bytes: ByteBuffer) -> Bool {
        let count = bytes.readableBytes
        switch phase {
        case .awaitingEnd(let head):
            discard(count)
            if count > 0 { reject(.bodyNotAllowed, head) }
        case .serving:
            inbox.append(bytes)
            feed()
            return true
        case .discarding(let before):
            discard(count)
            phase = .discarding(before + count)
            if before + count > Self.mostDiscarded, !requestHasEnded { reset(.noError) }
        case .finishing, .closed: discard(count)
        }
        return false
    }

    func requestEnded() {
        requestHasEnded = true
        switch phase {
        case .awaitingEnd(let head): serve(head, .none)
        case .serving: feed()
        case .discarding: phase = .finishing
        case .finishing, .closed: break
        }
    }

    /// Hands waiting parts to the exchange as far as it takes them. A step that ends at once returns here instead of
    /// calling deeper.
    private func feed() {
        guard !isFeeding else { return }
        isFeeding = true
        defer { isFeeding = false }
        while case .serving(let exchange) = phase, exchange.mayRead, let bytes = inbox.popFirst() {
            discard(bytes.readableBytes)
            exchange.received(bytes)
        }
        if case .serving(let exchange) = phase, requestHasEnded, inbox.isEmpty, exchange.takesBody {
            exchange.requestEnded()
        }
    }

    func flushRequest() {
        if case .serving(let exchange) = phase { exchange.flushRequest() }
    }

    /// Notes that bytes have left the inbox, or never entered it.
    private func discard(_ count: Int) {
        guard count > 0 else { return }
        connection.tookData(count)
        giveBack(count)
    }

    /// Discards the parts that nobody will take.
    private func dropInbox() {
        let count = inbox.count
        inbox.removeAll()
        discard(count)
    }

    private func giveBack(_ count: Int) {
        guard let increment = window.take(count) else { return }
        owedWindow += increment
        payWindow()
    }

    private func payWindow() {
        guard owedWindow > 0, connection.isWritable, !requestHasEnded, !isClosed else { return }
        connection.write(.windowUpdate(windowSizeIncrement: owedWindow), on: id)
        owedWindow = 0
        connection.flush()
    }

    // MARK: The response

    private var isClosed: Bool { if case .closed = phase { true } else { false } }

    private func writeHead(endsStream: Bool) {
        guard let head else { return }
        self.head = nil
        if head.fitsFrame {
            connection.write(.headers(.init(headers: head, endStream: endsStream)), on: id)
        } else {
            breakOff()
        }
    }

    /// Writes the parts that wait.
    private func writeBody(endsStream: Bool) {
        guard !isClosed, let body = body ?? (endsStream ? ByteBuffer() : nil) else { return }
        self.body = nil
        let count = body.readableBytes
        var promise: EventLoopPromise<Void>?
        // The last part has nobody to pause, unless the stream must be reset after it.
        if !endsStream || !requestHasEnded {
            promise = connection.makePromise()
            unsent += count
            let stream = NIOLoopBound(self, eventLoop: loop.eventLoop)
            promise?.futureResult.whenComplete { _ in stream.value.sent(count) }
        }
        connection.write(.data(.init(data: .byteBuffer(body), endStream: endsStream)), on: id, promise: promise)
    }

    private func sent(_ count: Int) {
        let wasFull = unsent >= Self.mostUnsent
        unsent -= count
        if responseHasEnded {
            resetUnlessWorthDiscarding()
        } else if wasFull, isWritable {
            connectionIsWritable()
        }
    }

    func connectionIsWritable() {
        payWindow()
        if case .serving(let exchange) = phase, isWritable { exchange.clientIsWritable() }
    }

    // MARK: End

    private func reset(_ code: HTTP2ErrorCode) {
        guard !isClosed else { return }
        connection.write(.rstStream(code), on: id)
        connection.flush()
    }

    /// Ends the stream, because its response can't be written.
    func breakOff() {
        loop.metrics.countBrokenHTTP2Stream()
        reset(.internalError)
        // NIO says later that the stream has closed, or never if it doesn't know the stream.
        closed()
    }

    /// The stream has closed: frees what the request holds.
    func closed() {
        let before = phase
        phase = .closed
        dropInbox()
        if case .serving(let exchange) = before { exchange.clientLeft() }
    }

    /// Ends the stream if it has passed its deadline.
    func endIfOverdue(at tick: Int) {
        switch phase {
        case .serving(let exchange): if exchange.deadline <= tick { exchange.deadlinePassed() }
        case .awaitingEnd(let head): if deadline <= tick { reject(.requestTimeout, head) }
        case .discarding: if deadline <= tick { reset(.noError) }
        case .finishing: if deadline <= tick { reset(.cancel) }
        case .closed: break
        }
    }
}

// MARK: The exchange's client

extension HTTP2Stream: ExchangeClient {
    var isWritable: Bool { !isClosed && unsent < Self.mostUnsent && connection.isWritable }

    func sendContinue() {
        guard case .serving = phase, !requestHasEnded, inbox.isEmpty else { return }
        connection.write(.headers(.init(headers: [":status": "100"])), on: id)
        connection.flush()
    }

    func sendInterim(_ header: ResponseHeader) {
        guard !isClosed, !responseHasEnded else { return }
        let fields = HPACKHeaders(header)
        // A client can do without a hint.
        guard fields.fitsFrame else { return }
        connection.write(.headers(.init(headers: fields)), on: id)
        connection.flush()
    }

    func readBody() {
        feed()
        // Nothing else may come that would flush this.
        flushRequest()
    }

    func send(_ answer: Answer) {
        guard !isClosed else { return }
        responseHasEnded = true
        var fields = HPACKHeaders(status: answer.status, reserving: answer.fields.count + 1)
        fields.add(answer.fields)
        fields.add(name: "content-length", value: String(answer.body.utf8.count))
        head = fields
        let hasBody = !isHead && !answer.body.isEmpty
        writeHead(endsStream: !hasBody)
        if hasBody {
            body = ByteBuffer(string: answer.body)
            writeBody(endsStream: true)
        }
        connection.flush()
    }

    func takes(_ head: HTTPResponseHead) -> Bool { HPACKHeaders.fits(head) }

    func startResponse(_ header: ResponseHeader) {
        guard !isClosed else { return }
        head = HPACKHeaders(header)
    }

    func sendResponse(_ bytes: ByteBuffer) {
        guard !isClosed else { return }
        writeHead(endsStream: false)
        guard !isClosed else { return }
        if let waiting = body, waiting.readableBytes + bytes.readableBytes <= Self.mostCopied {
            var bytes = bytes
            body?.writeBuffer(&bytes)
            return
        }
        writeBody(endsStream: false)
        body = bytes
    }

    func endResponse(_ trailers: HTTPHeaders?) {
        guard !isClosed else { return }
        responseHasEnded = true
        if let trailers, !trailers.isEmpty {
            writeHead(endsStream: false)
            writeBody(endsStream: false)
            var fields = HPACKHeaders()
            fields.add(trailers.lazy.map { ($0.name, $0.value) })
            if isClosed {
                return
            } else if fields.fitsFrame {
                connection.write(.headers(.init(headers: fields, endStream: true)), on: id)
            } else {
                breakOff()
            }
        } else if head != nil, body == nil {
            writeHead(endsStream: true)
        } else {
            writeBody(endsStream: true)
        }
    }

    func flush() {
        if !isClosed, !responseHasEnded {
            writeHead(endsStream: false)
            writeBody(endsStream: false)
        }
        // The end of a response may have closed the stream already.
        connection.flush()
    }

    func abort() {
        phase = isClosed ? .closed : .finishing
        reset(.internalError)
    }

    func exchangeEnded(requestEnded: Bool) {
        guard case .serving = phase else { return }
        touch(loop.settings.idleTimeout)
        phase = requestHasEnded ? .finishing : .discarding(0)
        dropInbox()
        resetUnlessWorthDiscarding()
    }

    /// Asks the client to stop sending a long body that nobody wants, once it has the whole response (RFC 9113, 8.1).
    private func resetUnlessWorthDiscarding() {
        guard unsent == 0, !requestHasEnded, case .length(let length) = framing, length > Self.mostDiscarded else {
            return
        }
        reset(.noError)
    }
}
