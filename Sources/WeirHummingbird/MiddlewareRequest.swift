import HTTPTypes
import Hummingbird
import NIOCore
import Synchronization
import Weir
import WeirHTTP

/// One request on its way through the middleware.
///
/// It is Sendable because its tasks use it in turn; nested requests touch it only under its lock.
final class MiddlewareRequest: @unchecked Sendable {
    private let middleware: MiddlewareState
    private let pooled: PooledRequest
    private let limiter: RequestLimiter
    private let route: MatchedRoute?
    private let state = Mutex(State())

    private struct State {
        /// Whether a nested request has already written the headers of both.
        var isReported = false
        /// Whether the request has ended, so that the pooled object may serve a different one.
        var isOver = false
        /// Whether the request went on to its handler.
        var reachedHandler = false
        /// Whether the body exceeded the policy's limit. Nested middlewares must not read it again.
        var bodyIsUnreadable = false
    }

    private var limited: LimitedRequest { pooled.value }

    /// Whether it may be nested in, or may enclose, another middleware of the policy.
    let mayNest: Bool

    /// The request of the enclosing middleware, of any policy.
    private let enclosingOfAnyPolicy: MiddlewareRequest?

    /// The client that the app identified, for nested requests too. Set it before any are nested.
    var client: AppClient?
    /// Makes the app's own answers, here and in nested requests. Set it before any are nested.
    var onDenied: (@Sendable (Denial) async throws -> Response?)?

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

    /// Starts the request. Returns a verdict, or the step to wait for first.
    func begin(_ request: Request, peer: IPAddress, client: AppClient?) -> LimitedRequest.Step {
        if enclosingOfAnyPolicy != nil { limited.enclosing = enclosing?.limited }
        return limited.begin(HTTPTypesRequest(request.head), on: limiter, peer: peer, client: client, route: route)
    }

    /// Continues from the first step to the verdict.
    ///
    /// - Returns: the verdict, and the request with a readable body if this call read it.
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
                guard
                    let body = isUnreadable
                        ? .unreadable : try await read.readBody(atMost: most, memory: middleware.bodyMemory)
                else { return (conclude(.answer(.bodyMemoryFull)), nil) }
                reread = read
                if case .unreadable = body.kind { state.withLock { $0.bodyIsUnreadable = true } }
                step = limited.resume(body: body)
            case .pending(let answer): return (conclude(decisions: await answer.value), reread)
            }
        }
    }

    /// Concludes with a store's answer.
    func conclude(decisions: DecisionResult) -> LimitedRequest.Verdict {
        conclude(limited.resume(decisions: decisions))
    }

    /// Joins the request to the enclosing one, which is refunded if this one isn't passed on.
    func conclude(_ verdict: LimitedRequest.Verdict) -> LimitedRequest.Verdict {
        let enclosing = enclosing
        limited.enclosing = enclosing?.limited
        if case .answer = verdict { enclosing?.withdraw() }
        return verdict
    }

    /// The client that the enclosing middleware identified.
    var enclosingClient: AppClient? { enclosingOfAnyPolicy == nil ? nil : enclosing?.client }

    /// The request of the nearest enclosing middleware of the same policy, while it runs. A middleware of a different
    /// policy may stand between the two.
    private var enclosing: MiddlewareRequest? {
        var next = enclosingOfAnyPolicy
        while let request = next, !request.limiter.isRelated(to: limiter) { next = request.enclosingOfAnyPolicy }
        return next.flatMap { request in request.state.withLock { $0.isOver } ? nil : request }
    }

    private func withdraw() {
        state.withLock { if !$0.isOver { limited.withdraw() } }
    }

    /// Carries out Weir's part of the verdict.
    func carryOut(_ verdict: LimitedRequest.Verdict) -> VerdictAction {
        limited.carryOut(verdict, places: middleware.places)
    }

    /// Holds a request until its slot in the leaky bucket. A client that leaves early still pays for the slot.
    func hold(_ delay: Duration) async throws {
        defer { middleware.places.giveBack() }
        try await limiter.clock.sleep(for: delay)
    }

    // MARK: answer

    /// Adds headers to the handler's response, and watches for its end if a cost or a permit depends on it.
    func answer(_ response: inout Response, to request: Request) {
        addHeaders(to: &response.headers)
        guard limited.mustFinish else { return end(isComplete: true) }
        if limited.metersResponse {
            limited.responseHead(status: response.status.code) { name in
                HTTPField.Name(name).map { response.headers[values: $0] } ?? []
            }
        }
        // The server never writes the body of a response to HEAD.
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

    /// Meters a part of the response's body on its way out.
    fileprivate func saw(_ buffer: ByteBuffer) {
        // A body may be written twice, to two writers, so this needs the lock.
        state.withLock { state in
            if !state.isOver { buffer.withUnsafeReadableBytes { limited.responseBody($0) } }
        }
    }

    /// Sends an answer of the app's or of Weir's own, and ends the request.
    func send(_ answer: Answer, to request: Request) async throws -> Response {
        let own = try await appResponse(to: request, answer.problem)
        var response = own ?? Self.response(answer, to: request)
        if own != nil, limited.isLimited { writeHeaders(to: &response.headers) }
        noteReported()
        end(isComplete: false)
        return response
    }

    /// Asks the app for its own response, here and then in the enclosing middlewares.
    private func appResponse(to request: Request, _ problem: ProblemDetails) async throws -> Response? {
        var denial: Denial?
        var next: MiddlewareRequest? = self
        while let place = next {
            if let onDenied = place.onDenied {
                let record = denial ?? limited.denial(problem, method: request.method.rawValue, route: route?.template)
                denial = record
                do {
                    if let response = try await onDenied(record) { return response }
                } catch {
                    failed(error)
                    throw error
                }
            }
            next = place.enclosing
        }
        return nil
    }

    private static func response(_ answer: Answer, to request: Request) -> Response {
        var headers = HTTPFields()
        headers.reserveCapacity(answer.fields.count + 1)
        for (name, value) in answer.fields {
            HTTPField.Name(name).map { headers.append(HTTPField(name: $0, value: value)) }
        }
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

    /// Ends a request whose handler threw. The error's response is made later; ``RateLimitHeaders`` adds the headers.
    func failed(_ error: any Error) {
        if let carried = CarriedHeaders.ofRequest {
            var headers = HTTPFields()
            addHeaders(to: &headers, carried: carried.headers)
            if !headers.isEmpty { carried.set(headers) }
        } else {
            limited.enclosing = nil
        }
        if let error = error as? any HTTPResponseError {
            limited.responseHead(status: error.status.code) { _ in [] }
        } else {
            // An outer middleware may turn the error into any response.
            limited.responseFailed()
        }
        // The response made from the error is complete and reports no usage.
        end(isComplete: true)
    }

    /// - Parameter carried: the headers from the nested request, if they aren't `headers`.
    private func addHeaders(to headers: inout HTTPFields, carried: HTTPFields? = nil) {
        let enclosing = enclosing
        if enclosing == nil { limited.enclosing = nil }
        // A middleware in between may have replaced the response, and with it the nested request's headers.
        let isReported = mayNest && state.withLock { $0.isReported } && middleware.hasOwn(carried ?? headers)
        if !isReported, limited.isLimited {
            writeHeaders(to: &headers)
        }
        if isReported || limited.isLimited { enclosing?.state.withLock { $0.isReported = true } }
        limited.enclosing = nil
    }

    /// Writes the limits' headers in place of those that are there.
    private func writeHeaders(to headers: inout HTTPFields) {
        middleware.removeOwn(from: &headers)
        headers.reserveCapacity(headers.count + LimitHeader.allCases.count)
        limited.writeHeaders { (header: LimitHeader, value) in
            if let field = middleware.field(header, value, pooled) { headers.append(field) }
        }
    }

    /// Marks the enclosing request's headers as already written.
    private func noteReported() {
        if limited.isLimited { enclosing?.state.withLock { $0.isReported = true } }
        limited.enclosing = nil
    }

    /// Whether the end of the response matters.
    var mustFinish: Bool { limited.mustFinish }

    /// Notes that the request goes on to its handler. One that never does costs nothing.
    func reachedHandler() { state.withLock { $0.reachedHandler = true } }

    private func end(isComplete: Bool) {
        let isLast = state.withLock { state in
            if state.isOver { return false }
            state.isOver = true
            limited.finish(isComplete: isComplete, reachedUpstream: state.reachedHandler) { _, _ in }
            return true
        }
        if isLast { middleware.takeBack(pooled) }
    }
}

/// Shows each part of a body to a request as it is written.
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
