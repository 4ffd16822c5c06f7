import NIOCore
import NIOHTTP1
import Weir
import WeirHTTP

/// A client connection, and the whole way of its requests, in order:
/// accept → identify, match, cost, decide (``LimitedRequest``) → forward → answer → observe.
///
/// One request is served at a time; what the client sends meanwhile waits in `inbox`. Each step either goes on at
/// once or returns until something happens: a part of the body, a store's answer, the end of a delay, a connection,
/// the upstream's response.
final class RequestFlow: ChannelDuplexHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundIn = HTTPServerResponsePart
    typealias OutboundOut = HTTPServerResponsePart

    enum Phase {
        /// Between requests.
        case idle
        /// Reading a body that the cost is in.
        case readingBody
        /// For the store's answer.
        case waiting
        /// Held by a leaky bucket.
        case delayed
        case connecting
        case forwarding
        /// The answer is sent; the rest of the request is read and thrown away.
        case discarding
        /// Everything is sent and our side is closed; the client's side is awaited.
        case lingering
        case closed
    }

    let shared: GatewayLoop
    let peer: PeerAddress
    var context: ChannelHandlerContext?
    var phase = Phase.idle
    /// The loop's tick at which something must have happened.
    var deadline = 0

    var request: LimitedRequest
    var head: HTTPRequestHead?
    var inbox = CircularBuffer<HTTPServerRequestPart>()
    /// What was read of the body before it could be forwarded.
    var heldBody: [ByteBuffer] = []
    var heldBytes = 0
    var bodyLimit = 0
    var requestEnded = false
    var keepsAlive = false
    /// Whether the parser has failed, so nothing that follows is a request.
    var isDead = false
    var upstream: UpstreamConnection?
    var responseStarted = false
    var responseIsChunked = false
    var discarded = 0
    /// The tick at which an answered client that is still sending is cut off.
    var lingersUntil = 0
    private var isProcessing = false
    private var holdsRead = false
    private var headHasStarted = false
    /// Counts the requests, so that an answer to one that is gone is not taken for the next one's.
    var exchange = 0
    var delay: Scheduled<Void>?

    /// How much of an unwanted body is read to keep a connection.
    static let mostDiscarded = 1 << 20
    /// How many parts of later requests wait before reading stops.
    private static let mostWaiting = 64

    init(_ shared: GatewayLoop, peer: PeerAddress) {
        self.shared = shared
        self.peer = peer
        request = LimitedRequest(shared.limiter)
        deadline = shared.tick + GatewayLoop.ticks(shared.settings.headerTimeout)
    }

    // MARK: Accept

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        shared.add(self)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        if phase == .lingering { stillSending() }
        if isDead || phase == .lingering || phase == .closed { return }
        let part = unwrapInboundIn(data)
        if inbox.isEmpty, !isProcessing {
            // Nearly always: nothing waits, and the part can be taken as it comes.
            isProcessing = true
            let isTaken = take(part)
            isProcessing = false
            if isTaken, inbox.isEmpty { return }
            if !isTaken { inbox.prepend(part) }
        } else {
            inbox.append(part)
        }
        process()
    }

    /// A client that is still sending what nobody wants has some time to come to the answer.
    private func stillSending() {
        guard shared.tick < lingersUntil else { return }
        deadline = shared.tick + 4
    }

    /// The first bytes of a request came; its head must be whole before long.
    func bytesArrived() {
        guard phase == .idle, !headHasStarted else { return }
        headHasStarted = true
        deadline = shared.tick + GatewayLoop.ticks(shared.settings.headerTimeout)
    }

    /// Takes the waiting parts as far as the present phase can. A step that ends at once comes back here rather than
    /// calling deeper, so that no client can pile up the stack.
    func process() {
        guard !isProcessing else { return }
        isProcessing = true
        defer { isProcessing = false }
        while let part = inbox.popFirst() {
            if take(part) { continue }
            inbox.prepend(part)
            return
        }
    }

    /// Takes one part, unless the present phase has to end first.
    private func take(_ part: HTTPServerRequestPart) -> Bool {
        switch (phase, part) {
        case (.idle, .head(let head)):
            // Who doesn't read the answers is not answered further.
            guard isWritable else { return false }
            begin(head)
        case (.readingBody, .body(let bytes)): hold(bytes)
        case (.readingBody, .end):
            requestEnded = true
            handle(request.resume(body: .bytes(heldBody.flatMap { Array($0.readableBytesView) })))
        case (.forwarding, .body(let bytes)):
            touch(responseStarted ? shared.settings.responseTimeout : nil)
            upstream?.write(.body(.byteBuffer(bytes)))
        case (.forwarding, .end) where !requestEnded:
            requestEnded = true
            touch(shared.settings.responseTimeout)
            // Trailers are dropped: an upstream that merges them into the header would believe what they say.
            upstream?.write(.end(nil))
            upstream?.flush()
        case (.discarding, .body(let bytes)): discard(bytes.readableBytes)
        case (.discarding, .end):
            requestEnded = true
            endExchange()
        case (.waiting, _), (.delayed, _), (.connecting, _), (.forwarding, _): return false
        case (.idle, _), (.readingBody, .head), (.discarding, .head), (.lingering, _), (.closed, _):
            // Parts of a request that was answered and cut off.
            break
        }
        return true
    }

    private func begin(_ head: HTTPRequestHead) {
        exchange &+= 1
        self.head = head
        headHasStarted = false
        requestEnded = false
        responseStarted = false
        heldBody.removeAll(keepingCapacity: true)
        heldBytes = 0
        discarded = 0
        keepsAlive = head.isKeepAlive && !shared.isDraining && !head.asksForUpgrade
        touch()
        if let problem = RequestFraming.problem(head) {
            keepsAlive = false
            request.clear()
            refuse(problem)
            return
        }
        decide(head)
    }

    // MARK: Decide

    private func decide(_ head: HTTPRequestHead) {
        let start = NIODeadline.now()
        let step = request.begin(NIORequest(head: head), on: shared.limiter, peer: peer.address)
        if case .pending(let answer) = step {
            wait(for: answer, since: start)
            return
        }
        shared.metrics.count(decisionNanoseconds: (NIODeadline.now() - start).nanoseconds)
        handle(step)
    }

    private func handle(_ step: LimitedRequest.Step) {
        switch step {
        case .needsBody(let limit): readBody(atMost: limit)
        case .needsLookup(let answer): wait(for: answer)
        case .pending(let answer): wait(for: answer, since: .now())
        case .verdict(let verdict):
            request.forEachOutcome { shared.metrics.count($0) }
            switch verdict {
            case .pass(let delay): delay > 0 ? hold(for: delay) : forward()
            case .answer(let problem):
                if problem.status == 429, let head { shared.denials.log(request, head, shared.limiter) }
                refuse(problem)
            }
        }
    }

    private func readBody(atMost limit: Int) {
        guard let head else { return }
        if head.declaresNoBody {
            handle(request.resume(body: .none))
        } else if let length = head.contentLength, length > limit {
            handle(request.resume(body: .unreadable))
        } else {
            bodyLimit = limit
            phase = .readingBody
            sendContinue()
            // After a lookup the body may be here already, or be held back.
            process()
            readOn()
        }
    }

    private func hold(_ bytes: ByteBuffer) {
        touch()
        heldBody.append(bytes)
        heldBytes += bytes.readableBytes
        if heldBytes > bodyLimit { handle(request.resume(body: .unreadable)) }
    }

    private func wait(for answer: PendingAnswer<DecisionResult>, since start: NIODeadline) {
        wait(for: answer) {
            $0.resume($1, since: start)
        } ifGone: {
            $0.request.abandon(decisions: $1)
        }
    }

    /// Goes on when the client has been looked up.
    private func wait(for lookup: PendingAnswer<Result<LookupAnswer, StoreFailure>>) {
        wait(for: lookup) { flow, answer in
            if let head = flow.head { flow.handle(flow.request.resume(lookup: answer, NIORequest(head: head))) }
        } ifGone: { _, _ in
        }
    }

    /// Goes on with an answer, on this event loop, if the request is still there.
    private func wait<Answer: Sendable>(
        for answer: PendingAnswer<Answer>, _ goOn: @escaping @Sendable (RequestFlow, Answer) -> Void,
        ifGone: @escaping @Sendable (RequestFlow, Answer) -> Void
    ) {
        phase = .waiting
        let flow = NIOLoopBound(self, eventLoop: shared.loop)
        let loop = shared.loop
        let exchange = exchange
        answer.whenComplete { answer in
            loop.execute {
                let isHere = flow.value.phase == .waiting && flow.value.exchange == exchange
                (isHere ? goOn : ifGone)(flow.value, answer)
            }
        }
    }

    private func resume(_ decisions: DecisionResult, since start: NIODeadline) {
        shared.metrics.count(decisionNanoseconds: (NIODeadline.now() - start).nanoseconds)
        if case .failure(let failure) = decisions { shared.metrics.countStoreFailure(failure) }
        handle(.verdict(request.resume(decisions: decisions)))
    }

    private func hold(for microseconds: Timestamp) {
        guard shared.delayed < shared.settings.maxDelayed else {
            refuse(.temporarilyReduced("Too many requests are waiting already."))
            return
        }
        phase = .delayed
        deadline = .max
        shared.delayed += 1
        let flow = NIOLoopBound(self, eventLoop: shared.loop)
        delay = shared.loop.scheduleTask(in: .microseconds(microseconds)) { flow.value.delayEnded() }
    }

    private func delayEnded() {
        guard phase == .delayed else { return }
        delay = nil
        shared.delayed -= 1
        forward()
    }

    // MARK: Forward

    func forward() {
        phase = .connecting
        deadline = .max
        if let connection = shared.pool.takeResting() {
            connected(connection)
        } else {
            shared.pool.connect(for: self)
        }
    }

    /// A connection to the upstream is there; nil when there can be none.
    func connected(_ connection: UpstreamConnection?) {
        guard phase == .connecting, let head else {
            connection?.close()
            return
        }
        guard let connection else {
            shared.metrics.countUpstreamFailure()
            refuse(ProblemDetails(status: 502, title: "Bad Gateway", detail: "The upstream can't be reached."))
            return
        }
        upstream = connection
        phase = .forwarding
        touch(shared.settings.responseTimeout)
        connection.begin(self)
        connection.write(.head(forwardedHead(head)))
        for bytes in heldBody { connection.write(.body(.byteBuffer(bytes))) }
        heldBody.removeAll(keepingCapacity: true)
        if requestEnded { connection.write(.end(nil)) }
        sendContinue()
        process()
        upstream?.flush()
        readOn()
    }

    private func forwardedHead(_ head: HTTPRequestHead) -> HTTPRequestHead {
        let target = request.path?.target ?? head.uri
        return shared.forwardedHeader.head(
            head, target: target == "*" ? target : shared.upstream.basePath + target, host: request.path?.authority,
            upstream: shared.upstream.authority,
            peer: peer, isTrusted: shared.limiter.isTrusted(peer.address), dropsCoding: request.metersBody)
    }

    /// A client that waits to be asked for its body is asked once the request passes. One that is denied never sends it.
    private func sendContinue() {
        guard let head, head.expectsContinue, !requestEnded, inbox.isEmpty, head.version == .http1_1 else { return }
        context?.writeAndFlush(
            wrapOutboundOut(.head(HTTPResponseHead(version: .http1_1, status: .continue))), promise: nil)
    }

    /// The upstream broke off. A request that it surely did not act upon is sent again, once.
    func upstreamFailed(_ connection: UpstreamConnection) {
        guard phase == .forwarding, upstream === connection else { return }
        upstream = nil
        if responseStarted {
            // The client must not take a part for the whole.
            closeNow()
            return
        }
        if connection.isReused, requestEnded, let head, head.isSafeToRepeat {
            phase = .connecting
            shared.pool.connect(for: self)
            return
        }
        shared.metrics.countUpstreamFailure()
        refuse(
            ProblemDetails(
                status: 502, title: "Bad Gateway", detail: "The upstream closed the connection without an answer."))
    }

    // MARK: Reading, as fast as it can be passed on

    private var mayRead: Bool {
        switch phase {
        case .idle, .discarding: inbox.count < Self.mostWaiting && isWritable
        case .readingBody, .lingering, .closed: inbox.count < Self.mostWaiting
        case .forwarding: inbox.count < Self.mostWaiting && upstream?.isWritable ?? true
        case .waiting, .delayed, .connecting: false
        }
    }

    func read(context: ChannelHandlerContext) {
        if mayRead { context.read() } else { holdsRead = true }
    }

    func readOn() {
        guard holdsRead, mayRead else { return }
        holdsRead = false
        context?.read()
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        if phase == .forwarding { upstream?.flush() }
        context.fireChannelReadComplete()
    }

    func upstreamIsWritable() { readOn() }

    var isWritable: Bool { context?.channel.isWritable ?? true }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable {
            if phase == .forwarding { touch(shared.settings.responseTimeout) }
            upstream?.resumeReading()
            process()
            readOn()
        }
        context.fireChannelWritabilityChanged()
    }

    // MARK: Ends

    func touch(_ timeout: Timestamp? = nil) {
        deadline = shared.tick + GatewayLoop.ticks(timeout ?? shared.settings.idleTimeout)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        guard error is HTTPParserError else {
            closeNow()
            return
        }
        if isDead { return }
        isDead = true
        keepsAlive = false
        switch phase {
        case .idle:
            exchange &+= 1
            head = nil
            requestEnded = true
            responseStarted = false
            request.clear()
            refuse(RequestFraming.problem(error))
        case .discarding: closeGently()
        case .forwarding, .connecting, .waiting, .delayed, .readingBody:
            // A whole request is served; one whose body is broken is not.
            guard !requestEnded, !inbox.contains(where: { if case .end = $0 { true } else { false } }) else { return }
            upstream?.end(isComplete: false)
            upstream = nil
            request.finish(isComplete: false)
            if responseStarted { closeNow() } else { refuse(RequestFraming.problem(error)) }
        case .lingering, .closed: break
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        closed()
        context.fireChannelInactive()
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        closed()
        self.context = nil
    }

    /// The connection is gone, whatever was going on: permits are freed and the upstream is not left waiting.
    private func closed() {
        guard phase != .closed else { return }
        if phase == .delayed {
            delay?.cancel()
            delay = nil
            shared.delayed -= 1
        }
        phase = .closed
        inbox.removeAll()
        heldBody = []
        upstream?.end(isComplete: false)
        upstream = nil
        request.finish(isComplete: false)
        shared.remove(self)
        shared.connectionLimits.leave(peer.address)
    }

    func closeNow() {
        context?.close(promise: nil)
    }

    /// Nothing is served any more: what is idle is closed, what is at work is closed when it is done.
    func drain() {
        keepsAlive = false
        if phase == .idle, inbox.isEmpty { closeNow() }
    }

    /// Something took too long.
    func deadlinePassed() {
        switch phase {
        case .idle where !headHasStarted, .lingering, .discarding, .closed: closeNow()
        case .idle, .readingBody:
            keepsAlive = false
            request.clear()
            refuse(ProblemDetails(status: 408, title: "Request Timeout", detail: "The request was not sent in time."))
        case .forwarding, .connecting, .waiting, .delayed:
            upstream?.end(isComplete: false)
            upstream = nil
            if responseStarted {
                closeNow()
                return
            }
            request.finish(isComplete: false)
            // The store may still answer, and this object must then know for what.
            if phase == .waiting { keepsAlive = false }
            guard requestEnded else {
                keepsAlive = false
                refuse(
                    ProblemDetails(status: 408, title: "Request Timeout", detail: "The request was not sent in time."))
                return
            }
            shared.metrics.countUpstreamFailure()
            refuse(
                ProblemDetails(status: 504, title: "Gateway Timeout", detail: "The upstream did not answer in time."))
        }
    }
}

extension HTTPRequestHead {
    fileprivate var asksForUpgrade: Bool {
        for (name, _) in headers where name.isEqualIgnoringCase("upgrade") { return true }
        return false
    }

    fileprivate var expectsContinue: Bool {
        for (name, value) in headers where name.isEqualIgnoringCase("expect") {
            return value.isEqualIgnoringCase("100-continue")
        }
        return false
    }

    var contentLength: Int? {
        for (name, value) in headers where name.isEqualIgnoringCase("content-length") {
            return Int(value.trimmingBlanks())
        }
        return nil
    }

    var declaresNoBody: Bool {
        for (name, _) in headers where name.isEqualIgnoringCase("transfer-encoding") { return false }
        return contentLength ?? 0 == 0
    }

    /// Without a body, and of a method that changes nothing (RFC 9110, 9.2.1).
    fileprivate var isSafeToRepeat: Bool {
        (method == .GET || method == .HEAD || method == .OPTIONS) && declaresNoBody
    }
}
