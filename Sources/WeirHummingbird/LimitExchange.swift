public import HTTPTypes
public import Hummingbird
import NIOCore
import Synchronization
import Weir
import WeirHTTP

/// One request on its way through the middleware.
///
/// Sendable, because its request is used from one task after another; what others may do to it, they do under the lock.
final class LimitExchange: @unchecked Sendable {
    private let engine: LimitEngine
    private let pooled: PooledRequest
    private let limiter: RequestLimiter
    private let route: MatchedRoute?
    private let state = Mutex(State())

    private struct State {
        /// Whether an exchange inside this one has written the headers of both.
        var isReported = false
        /// Whether the request may be another's by now.
        var isOver = false
        /// Whether the body was longer than the policy reads: it must not be read again.
        var bodyIsUnreadable = false
    }

    private var limited: LimitedRequest { pooled.value }

    /// Whether a limit of a route's own may be inside, or around.
    let hasRouteLimits: Bool

    /// The next one around this, of whatever policy.
    private let around: LimitExchange?

    /// Whom the app has identified, and who is told of denials: for the exchanges inside this one too. Set before there are
    /// any.
    var client: AppClient?
    var denied: (@Sendable (Denial) -> Void)?

    init(_ engine: LimitEngine, _ pooled: PooledRequest, limiter: RequestLimiter, route: MatchedRoute?) {
        self.engine = engine
        self.pooled = pooled
        self.limiter = limiter
        self.route = route
        hasRouteLimits = limiter.hasRouteLimits
        around = hasRouteLimits ? LimitEngine.enclosing?.exchange : nil
    }

    deinit { end(isComplete: false) }

    // MARK: identify -> match -> cost -> decide

    /// What there is to do first; a verdict, if nothing is to be waited for.
    func begin(_ request: Request, peer: IPAddress, client: AppClient?) -> LimitedRequest.Step {
        if around != nil { limited.around = outer?.limited }
        return limited.begin(HTTPTypesRequest(request.head), on: limiter, peer: peer, client: client, route: route)
    }

    /// Goes on after the first step, to the verdict. Returns with it the request whose body can be read, if that was read here.
    func decide(
        _ first: LimitedRequest.Step, _ request: Request, peer: IPAddress, client: AppClient?
    ) async throws -> (LimitedRequest.Verdict, reread: Request?) {
        var step = first
        var reread: Request?
        while true {
            switch step {
            case .verdict(let verdict): return (conclude(verdict), reread)
            case .needsLookup(let answer):
                _ = await answer.value
                step = begin(request, peer: peer, client: client)
            case .needsBody(let most):
                let isUnreadable = outer?.state.withLock { $0.bodyIsUnreadable } ?? false
                var read = request
                let body = isUnreadable ? .unreadable : try await read.readBody(atMost: most)
                reread = read
                if case .unreadable = body { state.withLock { $0.bodyIsUnreadable = true } }
                step = limited.resume(body: body)
            case .pending(let answer): return (conclude(decisions: await answer.value), reread)
            }
        }
    }

    /// The verdict by a store's answer.
    func conclude(decisions: DecisionResult) -> LimitedRequest.Verdict {
        conclude(limited.resume(decisions: decisions))
    }

    /// Joins the request to one around it, which gets back what it paid if this one is refused.
    func conclude(_ verdict: LimitedRequest.Verdict) -> LimitedRequest.Verdict {
        let outer = self.outer
        limited.enclosing = outer?.limited
        if case .refuse = verdict { outer?.giveBack() }
        return verdict
    }

    /// Whom a middleware of the same policy around this one has identified.
    var outerClient: AppClient? { around == nil ? nil : outer?.client }

    /// The exchange of a middleware of the same policy around this one, if it goes on. One of another policy may be between.
    private var outer: LimitExchange? {
        var next = around
        while let outer = next, !outer.limiter.isRelated(to: limiter) { next = outer.around }
        return next.flatMap { outer in outer.state.withLock { $0.isOver } ? nil : outer }
    }

    /// Gives back what was charged here, and around here.
    private func giveBack() {
        state.withLock { if !$0.isOver { limited.giveBack() } }
    }

    /// Holds a request until its slot of a leaky bucket. Returns why it can't be held, if so.
    func wait(_ delay: Timestamp) async throws -> ProblemDetails? {
        guard engine.beginDelay() else {
            giveBack()
            return .temporarilyReduced("Too many requests are waiting already.")
        }
        defer { engine.endDelay() }
        do {
            try await limiter.wait(delay)
        } catch {
            giveBack()
            throw error
        }
        return nil
    }

    // MARK: answer

    /// Adds headers to the handler's response, and watches its end if something hangs on it.
    func answer(_ response: inout Response, to request: Request) {
        addHeaders(to: &response.headers)
        guard limited.mustFinish else { return end(isComplete: true) }
        if limited.metersResponse {
            limited.responseHead(status: response.status.code) { name in
                HTTPField.Name(name).map { response.headers[values: $0] } ?? []
            }
        }
        // Nobody writes the body of an answer to HEAD.
        if request.method == .head { return end(isComplete: true) }
        response.body = watched(response.body)
    }

    private func watched(_ body: ResponseBody) -> ResponseBody {
        let metersBody = limited.metersBody
        return ResponseBody(contentLength: body.contentLength) { [self] writer in
            do {
                if metersBody {
                    try await body.write(MeteringWriter(writer: writer, exchange: self))
                } else {
                    try await body.write(writer)
                }
            } catch {
                end(isComplete: false)
                throw error
            }
            end(isComplete: true)
        }
    }

    /// A part of the response's body on its way out.
    fileprivate func saw(_ buffer: ByteBuffer) {
        // A body may be written twice, to two writers.
        state.withLock { state in
            if !state.isOver { buffer.withUnsafeReadableBytes { limited.responseBody($0) } }
        }
    }

    /// Tells of a request that a limit denied, here and around here.
    func tellDenied(_ request: Request) {
        var listeners: [@Sendable (Denial) -> Void] = []
        var next: LimitExchange? = self
        while let exchange = next {
            if let denied = exchange.denied { listeners.append(denied) }
            next = exchange.outer
        }
        guard !listeners.isEmpty, let denial = denial(of: request) else { return }
        for listener in listeners { listener(denial) }
    }

    private func denial(of request: Request) -> Denial? {
        guard let decision = limited.reportedDecision, !decision.allowed else { return nil }
        return Denial(
            limits: limited.violatedPolicies, method: request.method.rawValue, route: route?.template,
            path: limited.path?.path ?? "", client: String(limited.clientHash, radix: 16),
            retryAfter: decision.retryAfter)
    }

    func refuse(_ problem: ProblemDetails, to request: Request) -> Response {
        let body = limiter.policy.headers.problem ? problem.json : ""
        var headers = HTTPFields()
        if !body.isEmpty { headers[.contentType] = ProblemDetails.mediaType }
        addHeaders(to: &headers)
        limited.writeCrossOriginHeaders { name, value in
            HTTPField.Name(name).map { headers.append(HTTPField(name: $0, value: value)) }
        }
        end(isComplete: false)
        let bytes = request.method == .head || body.isEmpty ? nil : ByteBuffer(string: body)
        return Response(
            status: .init(code: problem.status), headers: headers,
            body: bytes.map { ResponseBody(byteBuffer: $0) }
                ?? ResponseBody(contentLength: body.utf8.count) { writer in
                    try await writer.finish(nil)
                })
    }

    /// The handler threw: its response, which is made later, has headers too.
    func failed(_ error: any Error) -> any Error {
        var headers = HTTPFields()
        addHeaders(to: &headers, carried: (error as? HTTPError)?.headers ?? (error as? LimitedError)?.headers)
        if let error = error as? any HTTPResponseError {
            limited.responseHead(status: error.status.code) { _ in [] }
        } else {
            // A middleware outside may make any response of it.
            limited.responseFailed()
        }
        // The response that comes of it is whole, and says no usage.
        end(isComplete: true)
        if var error = error as? HTTPError {
            if !headers.isEmpty { engine.removeOwn(from: &error.headers) }
            error.headers.append(contentsOf: headers)
            return error
        }
        // An error that is no response is left as it is, for whoever outside knows what to make of it.
        guard let error = error as? any HTTPResponseError, !headers.isEmpty else { return error }
        return LimitedError(original: error, headers: headers)
    }

    /// - Parameter carried: the headers of what came from inside, if these aren't they.
    private func addHeaders(to headers: inout HTTPFields, carried: HTTPFields? = nil) {
        let outer = outer
        if outer == nil { limited.enclosing = nil }
        // What an exchange inside wrote may be gone, when a middleware between made another response.
        let isReported =
            hasRouteLimits && state.withLock { $0.isReported } && engine.hasOwn(carried ?? headers)
        if !isReported, limited.isLimited {
            engine.removeOwn(from: &headers)
            headers.reserveCapacity(headers.count + LimitHeader.allCases.count)
            limited.writeHeaders { (header: LimitHeader, value) in
                if let field = engine.field(header, value, pooled) { headers.append(field) }
            }
        }
        if isReported || limited.isLimited { outer?.state.withLock { $0.isReported = true } }
        limited.enclosing = nil
    }

    private func end(isComplete: Bool) {
        let isLast = state.withLock { state in
            if state.isOver { return false }
            state.isOver = true
            limited.finish(isComplete: isComplete)
            return true
        }
        if isLast { engine.takeBack(pooled) }
    }
}

/// Shows the parts of a body to an exchange on their way.
private struct MeteringWriter: ResponseBodyWriter {
    var writer: any ResponseBodyWriter
    let exchange: LimitExchange

    mutating func write(_ buffer: ByteBuffer) async throws {
        exchange.saw(buffer)
        try await writer.write(buffer)
    }

    consuming func finish(_ trailingHeaders: HTTPFields?) async throws {
        try await writer.finish(trailingHeaders)
    }
}

/// An error of a handler's that makes a response, and the headers about limits that this has.
///
/// Middlewares outside ``RateLimitMiddleware`` see it in place of the handler's own, unless that is Hummingbird's `HTTPError`,
/// which gets the headers itself, or no `HTTPResponseError`.
public struct LimitedError: HTTPResponseError {
    /// What the handler threw.
    public let original: any HTTPResponseError
    let headers: HTTPFields

    public var status: HTTPResponse.Status { original.status }

    public func response(from request: Request, context: some RequestContext) throws -> Response {
        var response = try original.response(from: request, context: context)
        for field in headers { response.headers[field.name] = nil }
        response.headers.append(contentsOf: headers)
        return response
    }
}

extension Request {
    /// Reads the body for a cost, and leaves all of it to the handler.
    fileprivate mutating func readBody(atMost most: Int) async throws -> WeirHTTP.RequestBody {
        var read: [ByteBuffer] = []
        var count = 0
        var iterator = body.makeAsyncIterator()
        while let part = try await iterator.next() {
            read.append(part)
            count += part.readableBytes
            guard count <= most else {
                body = .init(asyncSequence: Resumed(read: read, rest: iterator))
                return .unreadable
            }
        }
        var whole = ByteBuffer()
        for var part in read { whole.writeBuffer(&part) }
        body = .init(buffer: whole)
        return .bytes(Array(whole.readableBytesView))
    }
}

/// What was read of a body already, and the rest.
///
/// Sendable, because whoever handles the request takes it, as it does the body that this stands for.
private final class Resumed: AsyncSequence, AsyncIteratorProtocol, @unchecked Sendable {
    private var read: ArraySlice<ByteBuffer>
    private var rest: HummingbirdCore.RequestBody.AsyncIterator

    init(read: [ByteBuffer], rest: HummingbirdCore.RequestBody.AsyncIterator) {
        self.read = read[...]
        self.rest = rest
    }

    func next() async throws -> ByteBuffer? {
        if let first = read.popFirst() { return first }
        return try await rest.next()
    }

    func makeAsyncIterator() -> Resumed { self }
}
