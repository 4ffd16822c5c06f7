import HTTPTypes
import Hummingbird
import NIOCore
import Synchronization
import Weir
import WeirHTTP

/// One request on its way through the middleware.
///
/// Sendable, because one task after another uses it; the requests inside it touch it only under its lock.
final class MiddlewareRequest: @unchecked Sendable {
    private let middleware: MiddlewareState
    private let pooled: PooledRequest
    private let limiter: RequestLimiter
    private let route: MatchedRoute?
    private let state = Mutex(State())

    private struct State {
        /// Whether a request inside this one has written the headers of both.
        var isReported = false
        /// Whether the pooled request may serve another by now.
        var isOver = false
        /// Whether the body was longer than the policy reads, so that nobody must read it again.
        var bodyIsUnreadable = false
    }

    private var limited: LimitedRequest { pooled.value }

    /// Whether another middleware of the policy may be inside this one, or around it.
    let mayNest: Bool

    /// The request of the next middleware around this one, of any policy.
    private let enclosingOfAnyPolicy: MiddlewareRequest?

    /// The client that the app has identified, for the requests inside this one too. Set before there are any.
    var client: AppClient?
    /// Told of denials, here and inside. Set before anything is inside.
    var denied: (@Sendable (Denial) -> Void)?

    init(_ middleware: MiddlewareState, _ pooled: PooledRequest, limiter: RequestLimiter, route: MatchedRoute?) {
        self.middleware = middleware
        self.pooled = pooled
        self.limiter = limiter
        self.route = route
        mayNest = limiter.hasRouteLimits
        enclosingOfAnyPolicy = mayNest ? MiddlewareState.enclosing?.request : nil
    }

    deinit { end(isComplete: false) }

    // MARK: identify -> match -> cost -> decide

    /// Begins. Returns a verdict, or what must be waited for first.
    func begin(_ request: Request, peer: IPAddress, client: AppClient?) -> LimitedRequest.Step {
        if enclosingOfAnyPolicy != nil { limited.enclosing = enclosing?.limited }
        return limited.begin(HTTPTypesRequest(request.head), on: limiter, peer: peer, client: client, route: route)
    }

    /// Goes on from the first step to the verdict.
    ///
    /// - Returns: the verdict, and the request whose body can still be read if this read it.
    func decide(
        _ first: LimitedRequest.Step, _ request: Request
    ) async throws -> (LimitedRequest.Verdict, reread: Request?) {
        var step = first
        var reread: Request?
        while true {
            switch step {
            case .verdict(let verdict): return (conclude(verdict), reread)
            case .needsLookup(let answer):
                step = limited.resume(lookup: await answer.value, HTTPTypesRequest(request.head))
            case .needsBody(let most):
                let isUnreadable = enclosing?.state.withLock { $0.bodyIsUnreadable } ?? false
                var read = request
                let body = isUnreadable ? .unreadable : try await read.readBody(atMost: most)
                reread = read
                if case .unreadable = body { state.withLock { $0.bodyIsUnreadable = true } }
                step = limited.resume(body: body)
            case .pending(let answer): return (conclude(decisions: await answer.value), reread)
            }
        }
    }

    /// Concludes by a store's answer.
    func conclude(decisions: DecisionResult) -> LimitedRequest.Verdict {
        conclude(limited.resume(decisions: decisions))
    }

    /// Joins the request to the enclosing one, which gets its charge back if this one isn't passed on.
    func conclude(_ verdict: LimitedRequest.Verdict) -> LimitedRequest.Verdict {
        let enclosing = enclosing
        limited.enclosing = enclosing?.limited
        if case .answer = verdict { enclosing?.withdraw() }
        return verdict
    }

    /// The client that the enclosing middleware has identified.
    var enclosingClient: AppClient? { enclosingOfAnyPolicy == nil ? nil : enclosing?.client }

    /// The request of the next middleware of the same policy around this one, if it goes on. A middleware of another
    /// policy may stand between the two.
    private var enclosing: MiddlewareRequest? {
        var next = enclosingOfAnyPolicy
        while let request = next, !request.limiter.isRelated(to: limiter) { next = request.enclosingOfAnyPolicy }
        return next.flatMap { request in request.state.withLock { $0.isOver } ? nil : request }
    }

    private func withdraw() {
        state.withLock { if !$0.isOver { limited.withdraw() } }
    }

    /// Carries the verdict out as far as it is Weir's to do.
    func carryOut(_ verdict: LimitedRequest.Verdict) -> VerdictAction {
        limited.carryOut(verdict, places: middleware.places)
    }

    /// Holds a request until its slot of a leaky bucket. A client that leaves meanwhile has paid for the slot.
    func hold(_ delay: Timestamp) async throws {
        defer { middleware.places.leave() }
        try await limiter.wait(delay)
    }

    // MARK: answer

    /// Adds headers to the handler's response, and watches its end if that matters.
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
                    try await body.write(MeteringWriter(writer: writer, request: self))
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

    /// Looks at a part of the response's body on its way out.
    fileprivate func saw(_ buffer: ByteBuffer) {
        // A body may be written twice, to two writers.
        state.withLock { state in
            if !state.isOver { buffer.withUnsafeReadableBytes { limited.responseBody($0) } }
        }
    }

    /// Tells the listeners of a denial, here and around here.
    func tellDenied(_ request: Request) {
        var listeners: [@Sendable (Denial) -> Void] = []
        var next: MiddlewareRequest? = self
        while let request = next {
            if let denied = request.denied { listeners.append(denied) }
            next = request.enclosing
        }
        guard !listeners.isEmpty,
            let denial = limited.denial(method: request.method.rawValue, route: route?.template)
        else { return }
        for listener in listeners { listener(denial) }
    }

    /// Sends an answer of Weir's own, and ends the request.
    func send(_ answer: Answer, to request: Request) -> Response {
        var headers = HTTPFields()
        headers.reserveCapacity(answer.fields.count + 1)
        for (name, value) in answer.fields {
            HTTPField.Name(name).map { headers.append(HTTPField(name: $0, value: value)) }
        }
        noteReported()
        end(isComplete: false)
        let body = answer.body
        if request.method == .head || body.isEmpty {
            return Response(
                status: .init(code: answer.status), headers: headers,
                body: ResponseBody(contentLength: body.utf8.count) { try await $0.finish(nil) })
        }
        return Response(
            status: .init(code: answer.status), headers: headers,
            body: ResponseBody(byteBuffer: ByteBuffer(string: body)))
    }

    /// The handler threw: gives the error's response, which is made later, its headers too.
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
            if !headers.isEmpty { middleware.removeOwn(from: &error.headers) }
            error.headers.append(contentsOf: headers)
            return error
        }
        // An error that is no response stays as it is, for the middleware outside that knows what to make of it.
        guard let error = error as? any HTTPResponseError, !headers.isEmpty else { return error }
        return LimitedError(original: error, headers: headers)
    }

    /// - Parameter carried: the headers that came from inside, if `headers` isn't those.
    private func addHeaders(to headers: inout HTTPFields, carried: HTTPFields? = nil) {
        let enclosing = enclosing
        if enclosing == nil { limited.enclosing = nil }
        // A middleware between may have made another response, without the headers that a request inside wrote.
        let isReported = mayNest && state.withLock { $0.isReported } && middleware.hasOwn(carried ?? headers)
        if !isReported, limited.isLimited {
            middleware.removeOwn(from: &headers)
            headers.reserveCapacity(headers.count + LimitHeader.allCases.count)
            limited.writeHeaders { (header: LimitHeader, value) in
                if let field = middleware.field(header, value, pooled) { headers.append(field) }
            }
        }
        if isReported || limited.isLimited { enclosing?.state.withLock { $0.isReported = true } }
        limited.enclosing = nil
    }

    /// Tells the enclosing request that the answer has its headers.
    private func noteReported() {
        if limited.isLimited { enclosing?.state.withLock { $0.isReported = true } }
        limited.enclosing = nil
    }

    private func end(isComplete: Bool) {
        let isLast = state.withLock { state in
            if state.isOver { return false }
            state.isOver = true
            limited.finish(isComplete: isComplete)
            return true
        }
        if isLast { middleware.takeBack(pooled) }
    }
}

/// Shows the parts of a body to a request on their way.
private struct MeteringWriter: ResponseBodyWriter {
    var writer: any ResponseBodyWriter
    let request: MiddlewareRequest

    mutating func write(_ buffer: ByteBuffer) async throws {
        request.saw(buffer)
        try await writer.write(buffer)
    }

    consuming func finish(_ trailingHeaders: HTTPFields?) async throws {
        try await writer.finish(trailingHeaders)
    }
}
