import HTTPTypes
import Hummingbird
import Logging
import NIOCore
import Synchronization
import Tracing
import Weir
import WeirHTTP

/// One request on its way through the middleware.
///
/// It is Sendable because its tasks use it in turn; nested requests touch it only under its lock.
final class MiddlewareRequest: @unchecked Sendable {
    private let middleware: MiddlewareState
    /// The policy that the request began with.
    let view: MiddlewareView
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

    /// What the handler may see and charge. Set it before the handler starts; nil if it sees nothing.
    private(set) var handlerLimits: HandlerLimits?
    private var logger: Logger?

    /// Whether it may be nested in, or may enclose, another middleware of the policy.
    let mayNest: Bool

    /// The request of the enclosing middleware, of any policy.
    private let enclosingOfAnyPolicy: MiddlewareRequest?

    /// Whether the app frees the route of all limits. Set it before the request begins.
    var isFree = false

    /// The request's head; nil unless it may be nested.
    private var head: HTTPRequest?

    /// The client that the app identified, for nested requests too. Set it before any are nested.
    var client: AppClient?
    /// Makes the app's own answers, here and in nested requests. Set it before any are nested.
    var onDenied: (@Sendable (Denial) async throws -> Response?)?

    init(
        _ middleware: MiddlewareState, _ view: MiddlewareView, _ pooled: PooledRequest, limiter: RequestLimiter,
        route: MatchedRoute?, enclosing: MiddlewareRequest?, mayNest: Bool
    ) {
        self.middleware = middleware
        self.view = view
        self.pooled = pooled
        self.limiter = limiter
        self.route = route
        self.mayNest = mayNest
        enclosingOfAnyPolicy = enclosing
    }

    deinit { end(isComplete: false) }

    // MARK: identify -> match -> cost -> decide

    /// Starts the request. Returns a verdict, or the step to wait for first.
    func begin(_ request: Request, peer: IPAddress, client: AppClient?) -> LimitedRequest.Step {
        if enclosingOfAnyPolicy != nil { limited.enclosing = enclosing?.limited }
        if mayNest { head = request.head }
        return limited.begin(
            HTTPTypesRequest(request.head), on: limiter, peer: peer, client: client, route: route, isFree: isFree)
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
                let found = await view.traced("weir.lookup", .client) { await answer.value }
                step = limited.resume(lookup: found, HTTPTypesRequest(request.head))
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
            case .pending(let answer): return (conclude(decisions: await decisions(of: answer)), reread)
            }
        }
    }

    /// Waits for a store's answer.
    func decisions(of answer: PendingAnswer<DecisionResult>) async -> DecisionResult {
        let result = await view.traced("weir.decide", .client) { await answer.value }
        if case .failure(let failure) = result { view.metrics?.count(failure) }
        return result
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

    /// Whether the middleware encloses itself. Each request would then be charged twice.
    func nestsInItself(_ head: HTTPRequest) -> Bool {
        var next = enclosingOfAnyPolicy
        while let request = next {
            // An app may pass a request of its own making through its router once more; that isn't nesting.
            if request.middleware === middleware, request.head?.path == head.path,
                request.head?.method == head.method
            {
                middleware.noteNested()
                return true
            }
            next = request.enclosingOfAnyPolicy
        }
        return false
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
        view.metrics?.delayBegins()
        defer {
            middleware.places.giveBack()
            view.metrics?.delayEnds()
        }
        try await view.traced("weir.delay", .internal) { try await limiter.clock.sleep(for: delay) }
    }

    // MARK: observe

    /// Counts and logs the verdict and the outcome of each limit.
    func observe(_ verdict: LimitedRequest.Verdict, _ request: Request, _ logger: Logger) {
        if view.looksAtOutcomes { observeOutcomes(request, logger) }
        switch verdict {
        case .pass:
            if let metrics = view.metrics, limited.passedUnlimited { metrics.countExempt() }
        case .answer(let problem):
            if problem.status != 429 { view.metrics?.countRejected(problem.status) }
            if problem.status == 429, let rule = limited.reportedRule {
                log("request denied", by: rule, of: limited, to: logger) {
                    limited.denial(problem, method: request.method.rawValue, route: route?.template)
                }
            }
        }
    }

    private func observeOutcomes(_ request: Request, _ logger: Logger) {
        limited.forEachOutcome { outcome in
            view.metrics?.count(outcome)
            guard outcome.isShadow, !outcome.allowed else { return }
            log("request would be denied: the limit is in shadow mode", by: outcome.rule, of: limited, to: logger) {
                limited.shadowDenial(
                    rule: outcome.rule, method: request.method.rawValue, route: route?.template)
            }
        }
    }

    /// Logs a denial, unless its limit or client has used up this second's lines.
    private func log(
        _ message: Logger.Message, by rule: Int, of limited: LimitedRequest, to logger: Logger,
        _ denial: () -> Denial?
    ) {
        let most = limited.limiter.policy.log.denialsPerSecond
        guard most > 0,
            let suppressed = middleware.sampler.admit(
                limit: rule, client: limited.clientHashValue, at: limited.limiter.now / 1_000_000, most: most)
        else { return }
        if let denial = denial() { logger.info(message, metadata: denial.metadata(suppressed: suppressed)) }
    }

    // MARK: answer

    /// Adds headers to the handler's response, and watches for its end if a cost or a permit depends on it.
    func answer(_ response: inout Response, to request: Request) {
        addHeaders(to: &response.headers)
        guard limited.mustFinish || handlerLimits != nil else { return end(isComplete: true) }
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
        let own: Response?
        do {
            own = try await appResponse {
                limited.denial(answer.problem, method: request.method.rawValue, route: route?.template)
            }
        } catch {
            failed(error)
            throw error
        }
        var response = own ?? Self.response(answer, to: request)
        if own != nil, limited.isLimited { writeHeaders(to: &response.headers) }
        noteReported()
        end(isComplete: false)
        return response
    }

    /// Asks the app for its own response, here and then in the enclosing middlewares.
    ///
    /// - Parameter denial: makes the denial; called once, or not at all if the app makes no answers.
    private func appResponse(to denial: () -> Denial) async throws -> Response? {
        var made: Denial?
        var next: MiddlewareRequest? = self
        while let place = next {
            if let onDenied = place.onDenied {
                let denial = made ?? denial()
                made = denial
                if let response = try await onDenied(denial) { return response }
            }
            next = place.enclosing
        }
        return nil
    }

    private static func response(_ answer: Answer, to request: Request) -> Response {
        let headers = answer.headers
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

    // MARK: The handler's calls

    /// Lets the handler see the limits.
    ///
    /// - Parameter logger: tells of denials of limits that the handler checks.
    func show(_ logger: Logger) {
        self.logger = logger
        handlerLimits = HandlerLimits(
            limited.chargeableLimits, asker: limited.asker, enclosing: enclosing?.handlerLimits)
    }

    /// Checks a limit of the policy by its name.
    ///
    /// - Returns: nil if the limit lets the request go on, else the error to throw.
    func check(_ name: String, key: String, cost: Int64) async throws -> RateLimitDeniedError? {
        let root = view.root
        guard let rule = root.limitNames.firstIndex(of: name) else { throw PolicyError.unknownLimit(name, root) }
        guard let handlerLimits else { return nil }
        let pooled = PooledRequest(LimitedRequest(root))
        let check = pooled.value
        let verdict: LimitedRequest.Verdict
        switch check.beginCheck(rule: rule, key: key, cost: cost, for: handlerLimits.asker) {
        case .verdict(let reached): verdict = reached
        case .pending(let answer): verdict = check.resume(decisions: await decisions(of: answer))
        case .needsBody, .needsLookup: return nil
        }
        if let metrics = view.metrics { check.forEachOutcome { metrics.countCheck($0) } }
        switch check.carryOut(verdict, places: middleware.places) {
        case .forward: break
        case .hold(let delay): try await hold(delay)
        case .answer(let answer): return try await denied(answer, check)
        }
        handlerLimits.keep(pooled)
        return nil
    }

    /// The error of a check that was denied.
    private func denied(_ answer: Answer, _ check: LimitedRequest) async throws -> RateLimitDeniedError {
        let denial = check.denial(answer.problem, method: head?.method.rawValue ?? "", route: route?.template)
        if denial.status == 429, let rule = check.reportedRule, let logger {
            log("request denied", by: rule, of: check, to: logger) { denial }
        }
        check.finish(isComplete: false)
        return RateLimitDeniedError(
            denial: denial, headers: answer.headers, body: answer.body,
            response: try await appResponse { denial })
    }

    /// Ends a request whose handler threw. The error's response is made later; ``RateLimitHeaders`` adds the headers.
    func failed(_ error: any Error) {
        if let denied = error as? RateLimitDeniedError {
            // It has the headers of the limit that was checked.
            CarriedHeaders.ofRequest?.set(denied.headers.filter { view.isOwn($0.name) || $0.name == .retryAfter })
            limited.enclosing = nil
        } else if let carried = CarriedHeaders.ofRequest {
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
        let isReported = mayNest && state.withLock { $0.isReported } && view.hasOwn(carried ?? headers)
        if !isReported, limited.isLimited {
            writeHeaders(to: &headers)
        }
        if isReported || limited.isLimited { enclosing?.state.withLock { $0.isReported = true } }
        limited.enclosing = nil
    }

    /// Writes the limits' headers in place of those that are there.
    private func writeHeaders(to headers: inout HTTPFields) {
        view.removeOwn(from: &headers)
        headers.reserveCapacity(headers.count + LimitHeader.allCases.count)
        limited.writeHeaders { (header: LimitHeader, value) in
            if let field = view.field(header, value, pooled) { headers.append(field) }
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
            if let handlerLimits {
                for (name, units) in handlerLimits.end() { limited.state(units, for: name) }
            }
            limited.finish(isComplete: isComplete, reachedUpstream: state.reachedHandler) {
                view.metrics?.countUnknownCost(rule: $0, reason: $1)
            }
            return true
        }
        if isLast { middleware.takeBack(pooled) }
    }
}

extension Answer {
    fileprivate var headers: HTTPFields {
        var headers = HTTPFields()
        headers.reserveCapacity(fields.count + 1)
        for (name, value) in fields {
            HTTPField.Name(name).map { headers.append(HTTPField(name: $0, value: value)) }
        }
        return headers
    }
}

extension Denial {
    /// The denial for a log. It says nothing of the client but a hash.
    fileprivate func metadata(suppressed: UInt64) -> Logger.Metadata {
        var metadata: Logger.Metadata = [
            "weir.limits": .array(limits.map { .string($0) }), "weir.client": .string(client),
            "weir.method": .string(method), "weir.path": .string(path),
        ]
        if let route { metadata["weir.route"] = .string(route) }
        if let tier { metadata["weir.tier"] = .string(tier) }
        if let address { metadata["weir.address"] = .string("\(address)") }
        if let remaining { metadata["weir.remaining"] = .stringConvertible(remaining) }
        if let retryAfter { metadata["weir.retry_after"] = .string("\(retryAfter)") }
        if suppressed > 0 { metadata["weir.suppressed"] = .stringConvertible(suppressed) }
        return metadata
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
