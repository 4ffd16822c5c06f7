import NIOCore
import NIOHTTP1
import WeirHTTP

/// The way back: the upstream's response, or an answer of Weir's own.
extension RequestFlow {
    /// A part of the upstream's response.
    func received(_ part: HTTPClientResponsePart, from connection: UpstreamConnection) {
        guard phase == .forwarding, upstream === connection else { return }
        touch(shared.settings.responseTimeout)
        switch part {
        case .head(let head):
            // An Upgrade is never forwarded, so 101 answers nothing; and other numbers are no status.
            guard (200...599).contains(head.status.code) else {
                upstream = nil
                connection.end(isComplete: false)
                shared.metrics.countUpstreamFailure()
                refuse(
                    ProblemDetails(
                        status: 502, title: "Bad Gateway", detail: "The upstream's answer has no valid status."))
                return
            }
            startResponse(head)
        case .body(let bytes):
            if request.metersBody { bytes.withUnsafeReadableBytes { request.responseBody($0) } }
            write(.body(.byteBuffer(bytes)))
        case .end(let trailers): endResponse(trailers)
        }
    }

    func flushResponse() { context?.flush() }

    private func startResponse(_ head: HTTPResponseHead) {
        guard let requestHead = self.head else { return }
        responseStarted = true
        if !requestEnded, discardsRest { keepsAlive = false }
        if request.metersResponse {
            request.responseHead(status: Int(head.status.code)) { name in
                head.headers.filter { $0.name.isEqualIgnoringCase(name) }.map(\.value)
            }
        }
        let status = Int(head.status.code)
        let hasBody = requestHead.method != .HEAD && status != 204 && status != 304 && status >= 200
        var fields: [(String, String)] = []
        fields.reserveCapacity(head.headers.count + 8)
        var hasLength = false
        var named: [Substring] = []
        let isLimited = request.isLimited
        for (name, value) in head.headers {
            if shared.responseRules.contains(name) {
                if name.isEqualIgnoringCase("connection") {
                    named += value.split { $0 == "," || $0 == " " || $0 == "\t" }
                }
                continue
            }
            if isLimited, shared.limitHeaderRules.contains(name) { continue }
            if name.isEqualIgnoringCase("content-length") { hasLength = true }
            fields.append((name, value))
        }
        for name in named {
            // `close` names no field; framing is never dropped.
            let name = name.lowercased()
            if name == "close" || name == "keep-alive" || name == "content-length" || name == "content-type" {
                continue
            }
            fields.removeAll { $0.0.isEqualIgnoringCase(name) }
        }
        responseIsChunked = false
        if hasBody, !hasLength {
            if requestHead.version == .http1_1 {
                responseIsChunked = true
                fields.append(("Transfer-Encoding", "chunked"))
            } else {
                keepsAlive = false
            }
        }
        request.writeHeaders { fields.append(($0, $1)) }
        appendConnection(&fields, requestHead)
        shared.metrics.count(status: status)
        write(.head(HTTPResponseHead(version: .http1_1, status: head.status, headers: HTTPHeaders(fields))))
    }

    /// Whether what is left of the request's body is too much to be read for the connection's sake.
    private var discardsRest: Bool {
        guard let length = head?.contentLength else { return true }
        return length > Self.mostDiscarded
    }

    private func appendConnection(_ fields: inout [(String, String)], _ head: HTTPRequestHead?) {
        if !keepsAlive {
            fields.append(("Connection", "close"))
        } else if head?.version == .http1_0 {
            fields.append(("Connection", "keep-alive"))
        }
    }

    private func endResponse(_ trailers: HTTPHeaders?) {
        let connection = upstream
        upstream = nil
        request.finish(isComplete: true)
        finishWriting(responseIsChunked ? trailers.map(permitted) : nil)
        // The connection forgets this request with its end, so it will not flush for it.
        context?.flush()
        connection?.end(isComplete: requestEnded)
        afterResponse()
    }

    /// The upstream's trailers but those that concern the connection or contradict the limits.
    private func permitted(_ trailers: HTTPHeaders) -> HTTPHeaders {
        HTTPHeaders(
            trailers.filter { !shared.responseRules.contains($0.name) && !shared.limitHeaderRules.contains($0.name) }
                .map { ($0.name, $0.value) })
    }

    /// Answers the request without the upstream.
    func refuse(_ problem: ProblemDetails) {
        if problem.status != 429 { shared.metrics.countRefused(problem.status) }
        responseStarted = true
        if !requestEnded, discardsRest, head?.declaresNoBody != true { keepsAlive = false }
        let body = shared.limiter.policy.headers.problem ? problem.json : ""
        var fields: [(String, String)] = []
        if !body.isEmpty { fields.append(("Content-Type", ProblemDetails.mediaType)) }
        fields.append(("Content-Length", String(body.utf8.count)))
        request.writeHeaders { fields.append(($0, $1)) }
        request.writeCrossOriginHeaders { fields.append(($0, $1)) }
        appendConnection(&fields, head)
        shared.metrics.count(status: problem.status)
        let status = HTTPResponseStatus(statusCode: problem.status)
        responseIsChunked = false
        write(.head(HTTPResponseHead(version: .http1_1, status: status, headers: HTTPHeaders(fields))))
        if head?.method != .HEAD, !body.isEmpty, let context {
            write(.body(.byteBuffer(context.channel.allocator.buffer(string: body))))
        }
        request.finish(isComplete: false)
        finishWriting(nil)
        context?.flush()
        afterResponse()
    }

    private func write(_ part: HTTPServerResponsePart) {
        context?.write(wrapOutboundOut(part), promise: nil)
    }

    private func finishWriting(_ trailers: HTTPHeaders?) {
        write(.end(trailers))
    }

    /// The response is written. What is left of the request is thrown away; then comes the next, or the end.
    private func afterResponse() {
        guard phase != .closed else { return }
        if requestEnded {
            endExchange()
        } else if keepsAlive {
            phase = .discarding
            touch()
            process()
            readOn()
        } else {
            closeGently()
        }
    }

    func discard(_ bytes: Int) {
        discarded += bytes
        touch()
        if discarded > Self.mostDiscarded { closeGently() }
    }

    func endExchange() {
        head = nil
        guard keepsAlive, !isDead, !shared.isDraining else {
            closeGently()
            return
        }
        phase = .idle
        touch()
        readOn()
        if !inbox.isEmpty { process() }
    }

    /// Closes our side once everything is sent, and waits a moment for the client to have read it: closing at once
    /// with bytes unread would reset the connection and destroy the answer.
    func closeGently() {
        guard phase != .lingering, phase != .closed, let context else { return }
        phase = .lingering
        inbox.removeAll()
        deadline = shared.tick + 4
        lingersUntil = shared.tick + 60
        // NIO closes the output after what was written before is out.
        context.flush()
        context.close(mode: .output, promise: nil)
        readOn()
    }
}
