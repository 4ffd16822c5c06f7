import NIOCore
import NIOHTTP1
import Weir
import WeirHTTP

/// One request with its response. It decides the request, forwards or answers it, and settles it at its end.
///
/// It carries out the actions of its ``StateMachine``. It keeps its first policy until its log line is written. An
/// event loop reuses one object for one exchange after another, and only that loop touches it.
final class Exchange {
    private let loop: ServerLoop
    private(set) var policy: PolicyView
    private let limited: LimitedRequest
    private var machine = StateMachine<UpstreamConnection>(.init())
    private var client: (any ExchangeClient)?
    private var peer: Peer?
    private var head: HTTPRequestHead?
    private var framing = BodyFraming.none
    /// Whether the request, or a part of it, was sent to the upstream.
    private var reachedUpstream = false
    /// The parts of the body that arrived before they could be forwarded. They take ``ServerLoop/bodyMemory``.
    private var heldBody = BodyParts()
    private var delay: Scheduled<Void>?
    /// The time spent deciding before the first wait for the client or a lookup, in nanoseconds.
    private var decisionTime: Int64 = 0
    /// The loop's tick by which something must happen.
    private(set) var deadline = Int.max
    /// Counts this object's exchanges, so that none takes the answer to an earlier one as its own.
    private var number = 0

    init(_ loop: ServerLoop) {
        self.loop = loop
        policy = loop.policy
        limited = LimitedRequest(loop.policy.limiter)
    }

    // MARK: Begin

    /// Begins with a valid request.
    func begin(
        _ head: HTTPRequestHead, framing: BodyFraming, from peer: Peer, for client: any ExchangeClient
    ) {
        enter(head, framing, from: peer, for: client)
        touch()
        let start = NIODeadline.now()
        proceed(
            limited.begin(NIORequest(head: head), on: policy.limiter, peer: peer.address), since: start)
    }

    /// Begins with a request that won't be served.
    ///
    /// - Parameters:
    ///   - head: the request's head; nil when it couldn't be read.
    ///   - framing: the framing of the rest of the request.
    func reject(
        _ problem: Problem, _ head: HTTPRequestHead?, framing: BodyFraming, from peer: Peer,
        for client: any ExchangeClient
    ) {
        enter(head, framing, from: peer, for: client)
        limited.clear(for: policy.limiter)
        fail(problem, nil)
    }

    private func enter(
        _ head: HTTPRequestHead?, _ framing: BodyFraming, from peer: Peer, for client: any ExchangeClient
    ) {
        number &+= 1
        policy = loop.policy
        self.head = head
        self.framing = framing
        reachedUpstream = false
        self.peer = peer
        self.client = client
        decisionTime = 0
        let isSafe = head.map { $0.method == .GET || $0.method == .HEAD || $0.method == .OPTIONS } ?? false
        machine = StateMachine(.init(framing: framing, isSafeToRepeat: isSafe && framing == .none))
    }

    // MARK: Decide

    private func proceed(_ step: LimitedRequest.Step, since start: NIODeadline) {
        switch step {
        case .verdict(let verdict): conclude(verdict, since: start)
        case .needsBody(let limit):
            decisionTime += (NIODeadline.now() - start).nanoseconds
            run(machine.needsBody(atMost: limit))
        case .needsLookup(let answer):
            decisionTime += (NIODeadline.now() - start).nanoseconds
            wait(for: answer) { exchange, answer in
                exchange.lookedUp(answer)
            } ifGone: { _, _ in
            }
        case .pending(let answer):
            wait(for: answer) { exchange, decisions in
                exchange.decided(decisions, since: start)
            } ifGone: { exchange, decisions in
                exchange.limited.abandon(decisions: decisions)
            }
        }
    }

    /// Continues with an answer, on this event loop, if the exchange still exists.
    private func wait<Answer: Sendable>(
        for answer: PendingAnswer<Answer>, _ goOn: @escaping @Sendable (Exchange, Answer) -> Void,
        ifGone: @escaping @Sendable (Exchange, Answer) -> Void
    ) {
        run(machine.mustWait())
        let exchange = NIOLoopBound(self, eventLoop: loop.eventLoop)
        let eventLoop = loop.eventLoop
        answer.whenComplete { answer in
            eventLoop.execute {
                // An exchange that ended while waiting is not reused, so this answer can't be for a later one.
                if case .resume = exchange.value.machine.answered() {
                    goOn(exchange.value, answer)
                } else {
                    ifGone(exchange.value, answer)
                }
            }
        }
    }

    private func lookedUp(_ answer: Result<LookupAnswer, StoreError>) {
        guard let head else { return }
        let start = NIODeadline.now()
        proceed(limited.resume(lookup: answer, NIORequest(head: head)), since: start)
    }

    private func decided(_ decisions: DecisionResult, since start: NIODeadline) {
        if case .failure(let failure) = decisions { loop.metrics.countStoreFailure(failure) }
        conclude(limited.resume(decisions: decisions), since: start)
    }

    /// Carries the verdict out.
    private func conclude(_ verdict: LimitedRequest.Verdict, since start: NIODeadline) {
        loop.metrics.count(decisionNanoseconds: decisionTime + (NIODeadline.now() - start).nanoseconds)
        limited.forEachOutcome { outcome in
            loop.metrics.count(outcome, policy)
            if outcome.isShadow, !outcome.allowed, let head {
                loop.denials.logShadow(limited, rule: outcome.rule, method: head.method.rawValue, policy)
            }
        }
        switch limited.carryOut(verdict, places: loop.places) {
        case .forward: run(machine.passed())
        case .hold(let time):
            run(machine.mustDelay())
            deadline = .max
            let exchange = NIOLoopBound(self, eventLoop: loop.eventLoop)
            delay = loop.eventLoop.scheduleTask(in: TimeAmount(time)) { exchange.value.delayEnded() }
        case .answer(let answer):
            if answer.status == 429 { logDenial(answer.problem) }
            send(answer)
        }
    }

    private func logDenial(_ problem: ProblemDetails) {
        guard let head, let rule = limited.reportedRule else { return }
        if !loop.denials.log(limited, problem, method: head.method.rawValue, policy) {
            loop.metrics.countSuppressed(rule: rule, policy)
        }
    }

    private func logFailure(_ details: ProblemDetails) {
        guard let head else { return }
        loop.failures.log(
            details, method: head.method.rawValue, path: limited.path?.path ?? "",
            upstream: loop.upstream.authority, at: policy.limiter.now)
    }

    private func delayEnded() {
        // A task that is due can't be cancelled any more.
        guard delay != nil else { return }
        delay = nil
        loop.places.giveBack()
        run(machine.delayEnded())
    }

    // MARK: The client

    /// Whether parts of the body can be taken now.
    var takesBody: Bool { machine.takesBody }

    /// Whether the whole request was received.
    var requestHasEnded: Bool { machine.requestEnded }

    /// Whether the client's next bytes may be read.
    var mayRead: Bool { machine.takesBody && machine.upstream?.isWritable ?? true }

    func received(_ bytes: ByteBuffer) {
        if machine.keepsBody {
            keep(bytes)
            return
        }
        let action = machine.bodyReceived(bytes.readableBytes)
        if case .sendBody(let upstream) = action {
            touch(machine.responseStarted ? loop.settings.responseTimeout : nil)
            upstream.write(.body(.byteBuffer(bytes.withoutSlack)))
            return
        }
    }

    /// Keeps a part of the body until the request is decided. It doesn't renew the deadline, so that a body that is
    /// sent slowly can't hold memory for longer.
    private func keep(_ bytes: ByteBuffer) {
        let size = bytes.readableBytes
        let hasRoom = loop.bodyMemory.take(size)
        if hasRoom { heldBody.append(bytes) }
        run(machine.bodyReceived(size, hasRoom: hasRoom))
    }

    private func dropHeldBody() {
        if heldBody.isEmpty { return }
        loop.bodyMemory.giveBack(heldBody.count)
        heldBody.removeAll()
    }

    func requestEnded() { run(machine.bodyEnded()) }

    /// The rest of the body can't be read.
    func bodyBroke(_ problem: Problem, bodyHasArrived: Bool) {
        run(machine.bodyBroke(problem, bodyHasArrived: bodyHasArrived))
    }

    /// Flushes writes to the upstream.
    func flushRequest() { machine.upstream?.flush() }

    /// Resumes writing: the client can take data again.
    func clientIsWritable() {
        // Another stream of the connection may have made it writable. That is no sign of life of this one.
        if machine.upstream?.resumeReading() == true { touch(loop.settings.responseTimeout) }
    }

    func clientLeft() { run(machine.clientLeft()) }

    func deadlinePassed() { run(machine.deadlinePassed()) }

    // MARK: The upstream

    /// A connection to the upstream is available; nil when there can be none.
    func connected(_ upstream: UpstreamConnection?) { run(machine.connected(upstream)) }

    /// Handles a part of the upstream's response.
    func received(_ part: HTTPClientResponsePart, from upstream: UpstreamConnection) {
        touch(loop.settings.responseTimeout)
        switch part {
        case .head(let head): receivedHead(head, from: upstream)
        case .body(let bytes):
            guard case .sendResponse = machine.responseBody(from: upstream) else { return }
            if limited.metersBody { bytes.withUnsafeReadableBytes { limited.responseBody($0) } }
            client?.sendResponse(bytes)
        case .end(let trailers):
            guard case .endResponse(_, let isReusable) = machine.responseEnded(from: upstream) else { return }
            settle(isComplete: true)
            client?.endResponse(trailers.map { ResponseHeader.permitted($0, dropping: policy.limitHeaders) })
            // The upstream's connection releases this exchange at its end, so it won't flush for it.
            client?.flush()
            upstream.end(isReusable: isReusable)
            finish()
        }
    }

    private func receivedHead(_ head: HTTPResponseHead, from upstream: UpstreamConnection) {
        let status = Int(head.status.code)
        if (100..<200).contains(status) {
            let size = head.headers.reduce(0) { $0 + $1.name.utf8.count + $1.value.utf8.count }
            let action = machine.interimHead(status: status, size: size, from: upstream)
            if case .sendInterim = action { sendInterim(head) } else { run(action) }
        } else {
            let action = machine.responseHead(status: status, problem: problem(of: head), from: upstream)
            if case .startResponse = action { startResponse(head) } else { run(action) }
        }
    }

    /// Why a response can't be passed on to the client; nil if it can.
    private func problem(of head: HTTPResponseHead) -> Problem? {
        if head.hasForeignCoding { return .upstreamCoding }
        return client?.takes(head) == false ? .upstreamHeaderTooLargeForClient : nil
    }

    private func sendInterim(_ head: HTTPResponseHead) {
        guard let method = self.head?.method else { return }
        client?.sendInterim(ResponseHeader(head, to: method, dropping: policy.limitHeaders))
    }

    func upstreamFailed(_ upstream: UpstreamConnection, because problem: Problem) {
        run(machine.upstreamFailed(upstream, isReused: upstream.isReused, because: problem))
    }

    func upstreamIsWritable() { client?.readBody() }

    /// Whether the client can take more of the upstream's response.
    var clientTakesResponse: Bool { client?.isWritable ?? false }

    func flushResponse() { client?.flush() }

    // MARK: Carry out

    private func run(_ action: StateMachine<UpstreamConnection>.Action) {
        switch action {
        case .readBody: readBody()
        case .decide(let body): decide(by: body)
        case .connect(let isNew): connect(isNew: isNew)
        case .forward(let upstream): forward(to: upstream)
        case .endRequest(let upstream): endRequest(to: upstream)
        case .fail(let problem, let upstream): fail(problem, upstream)
        case .abort(let upstream):
            upstream?.end(isReusable: false)
            settle(isComplete: false)
            letGo()?.abort()
        case .release(let upstream):
            upstream?.end(isReusable: false)
            settle(isComplete: false)
            _ = letGo()
        case .close(let upstream): upstream.close()
        case .nothing, .keep, .wait, .resume, .abandon, .startDelay, .answer, .sendBody, .sendInterim, .startResponse,
            .sendResponse, .endResponse:
            // The caller of the machine carries these out, because they need the event's data.
            break
        }
    }

    private func readBody() {
        touch()
        if head?.expectsContinue == true { client?.sendContinue() }
        client?.readBody()
    }

    private func decide(by body: StateMachine<UpstreamConnection>.Body) {
        touch()
        let start = NIODeadline.now()
        let body: ReceivedBody =
            switch body {
            case .none: .none
            case .tooLong: .unreadable
            case .whole: .bytes(heldBody.bytes)
            }
        proceed(limited.resume(body: body), since: start)
    }

    private func connect(isNew: Bool) {
        // The pool has its own timeout.
        deadline = .max
        if !isNew, let upstream = loop.pool.takeResting() {
            connected(upstream)
        } else {
            loop.pool.connect(for: self, number: number)
        }
    }

    /// Whether this is still the exchange that asked for a connection.
    func isCurrent(_ number: Int) -> Bool { self.number == number }

    private func forward(to upstream: UpstreamConnection) {
        guard let head, let peer else { return }
        touch(loop.settings.responseTimeout)
        reachedUpstream = true
        upstream.begin(self)
        upstream.write(.head(forwardedHead(head, peer)))
        while let bytes = heldBody.popFirst() {
            loop.bodyMemory.giveBack(bytes.readableBytes)
            upstream.write(.body(.byteBuffer(bytes)))
        }
        if machine.requestEnded {
            endRequest(to: upstream)
            return
        }
        if head.expectsContinue { client?.sendContinue() }
        client?.readBody()
        machine.upstream?.flush()
    }

    private func endRequest(to upstream: UpstreamConnection) {
        touch(loop.settings.responseTimeout)
        // Trailers are dropped, because an upstream that merges them into the header would trust them.
        upstream.write(.end(nil))
        upstream.flush()
    }

    private func forwardedHead(_ head: HTTPRequestHead, _ peer: Peer) -> HTTPRequestHead {
        let target = limited.path?.target ?? head.uri
        let forwarded = policy.forwardedHeader.head(
            head, framing: framing, target: target == "*" ? target : loop.upstream.basePath + target,
            host: limited.path?.authority, upstream: loop.upstream.authority, peer: peer,
            isTrusted: policy.limiter.isTrusted(peer.address), dropsCoding: limited.metersBody)
        if forwarded.ignoresAddress {
            loop.metrics.countIgnoredAddress()
            loop.failures.logIgnoredAddress(
                header: policy.limiter.policy.addressHeader.name, peer: peer.text ?? "a Unix socket",
                at: policy.limiter.now)
        }
        return forwarded.head
    }

    private func startResponse(_ head: HTTPResponseHead) {
        guard let method = self.head?.method else { return }
        if limited.metersResponse {
            limited.responseHead(status: Int(head.status.code)) { name in
                var values: [String] = []
                for (other, value) in head.headers where other.isEqualIgnoringCase(name) { values.append(value) }
                return values
            }
        }
        var header = ResponseHeader(head, to: method, dropping: limited.isLimited ? policy.limitHeaders : nil)
        limited.writeHeaders { (name: String, value) in header.add(name, value) }
        if !header.hasDate { header.add("Date", loop.date) }
        loop.metrics.count(status: Int(head.status.code))
        client?.startResponse(header)
    }

    /// Answers with a problem, and releases the upstream.
    private func fail(_ problem: Problem, _ upstream: UpstreamConnection?) {
        upstream?.end(isReusable: false)
        if problem.isUpstreamFailure {
            loop.metrics.countUpstreamFailure()
            logFailure(problem.details)
        }
        send(limited.answer(problem.details))
    }

    private func send(_ answer: Answer) {
        // Done before anything is written: a write that fails says at once that the client has left.
        _ = machine.denied()
        if answer.status != 429 { loop.metrics.countRejected(answer.status) }
        loop.metrics.count(status: answer.status)
        settle(isComplete: false)
        var answer = answer
        answer.fields.append(("Date", loop.date))
        client?.send(answer)
        finish()
    }

    // MARK: End

    /// Charges what the response cost, and frees permits.
    private func settle(isComplete: Bool) {
        limited.finish(isComplete: isComplete, reachedUpstream: reachedUpstream) { rule, reason in
            loop.metrics.countUnknownCost(rule: rule, reason, policy)
            loop.failures.logUnknownCost(
                limit: policy.limiter.limitNames[rule], reason: reason, path: limited.path?.path ?? "",
                at: policy.limiter.now)
        }
    }

    /// Ends the exchange.
    private func finish() {
        let requestEnded = machine.requestEnded
        letGo()?.exchangeEnded(requestEnded: requestEnded)
    }

    /// Releases everything. Returns the client.
    private func letGo() -> (any ExchangeClient)? {
        // Released already: it must not be pooled twice.
        guard let client else { return nil }
        if let delay {
            delay.cancel()
            self.delay = nil
            loop.places.giveBack()
        }
        self.client = nil
        head = nil
        peer = nil
        dropHeldBody()
        deadline = .max
        // An object with an open question can't be reused: its answer is for this request alone.
        if !machine.hasOpenQuestion { loop.takeBack(self) }
        return client
    }

    private func touch(_ timeout: Timestamp? = nil) {
        deadline = loop.deadline(in: timeout ?? loop.settings.idleTimeout)
    }
}

extension HTTPResponseHead {
    /// Whether the body has a transfer coding other than `chunked` alone, which only the upstream's next hop may take
    /// off.
    fileprivate var hasForeignCoding: Bool {
        var codings = 0
        for (name, value) in headers where name.isEqualIgnoringCase("transfer-encoding") {
            codings += 1
            if codings > 1 || !value.trimmingBlanks().isEqualIgnoringCase("chunked") { return true }
        }
        return false
    }
}
