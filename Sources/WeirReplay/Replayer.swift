import Weir
package import WeirHTTP

/// Decides the requests of a log, line by line, with a ``RequestLimiter``.
package struct Replayer {
    private let policy: Policy
    private let verifier: (any TokenVerifier)?
    private let clock: ReplayClock
    private var limiter: RequestLimiter?
    /// A heap of the requests in flight, with the earliest end first. They hold permits until they end.
    private var inFlight: [Flight] = []
    private var spare: [LimitedRequest] = []

    private struct Flight {
        var end: Timestamp
        var request: LimitedRequest
        var status: Int?
        var usage: [UInt8]?
    }

    package private(set) var report = ReplayReport()

    /// - Parameters:
    ///   - policy: the policy to try.
    ///   - verifier: verifies tokens, if the policy uses them.
    ///   - clock: the clock that the lines move.
    package init(_ policy: Policy, verifier: (any TokenVerifier)?, clock: ReplayClock) {
        self.policy = policy
        self.verifier = verifier
        self.clock = clock
    }

    /// Decides one line. Returns the line of JSON to print.
    ///
    /// - Throws: ``PolicyError`` at the first line, if the policy can't be used.
    package mutating func decide(_ text: String) throws -> String {
        let line: ReplayLine
        do {
            line = try ReplayLine(text)
        } catch {
            report.broken += 1
            return "{\"error\": \(ProblemDetails.quote(error.message))}"
        }
        endRequests(before: line.time)
        clock.advance(to: line.time)
        let limiter = try makeLimiter()
        let request = spare.popLast() ?? LimitedRequest(limiter)
        let step = request.begin(line, on: limiter, peer: line.address, tier: line.tier, cost: line.cost)
        let verdict = finish(step, request, body: line.body)
        report.count(line, verdict: verdict, request: request, limiter: limiter, at: clock.timestamp)
        if case .pass(let delay) = verdict {
            let (sum, overflow) = clock.timestamp.addingReportingOverflow(
                line.duration + Timestamp(clamping: delay.ticks))
            hold(
                Flight(end: overflow ? .max : sum, request: request, status: line.status, usage: line.usage))
        } else {
            spare.append(request)
        }
        return ReplayAnswer(verdict, request, limiter).json
    }

    /// Finishes a decision. Without a body in the log, a cost from it is its default. Nothing is pending, because the
    /// memory store answers at once.
    private func finish(
        _ step: LimitedRequest.Step, _ request: LimitedRequest, body: [UInt8]?
    ) -> LimitedRequest.Verdict {
        switch step {
        case .verdict(let verdict): verdict
        case .needsBody(let most):
            finish(
                request.resume(body: body.map { $0.count > most ? .unreadable : .bytes($0) } ?? .none), request,
                body: nil)
        case .pending, .needsLookup: .pass(delay: .zero)
        }
    }

    /// Returns the limiter. It is created at the first line's time, from which warm-up is counted.
    private mutating func makeLimiter() throws -> RequestLimiter {
        if let limiter { return limiter }
        let limiter = try RequestLimiter(
            policy: policy, store: policy.makeMemoryStore(clock: clock), verifier: verifier,
            lookup: NobodyKnown(), clock: clock)
        // A replay has no upstream to ask, so end warm-up as if the upstream were ready.
        for check in limiter.readinessChecks { check.warmUp.finish() }
        self.limiter = limiter
        return limiter
    }

    private mutating func hold(_ flight: Flight) {
        // Sift the request up the heap.
        inFlight.append(flight)
        var child = inFlight.count - 1
        while child > 0, inFlight[child].end < inFlight[(child - 1) / 2].end {
            inFlight.swapAt(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
    }

    /// Settles a request, as far as the log says how it was answered.
    private func end(_ flight: Flight) {
        guard flight.status != nil || flight.usage != nil else {
            return flight.request.finishFromLog(isComplete: false)
        }
        flight.request.responseHead(status: flight.status ?? 200) { name in
            name.lowercased() == "content-type" ? ["application/json"] : []
        }
        flight.usage?.withUnsafeBytes { flight.request.responseBody($0) }
        flight.request.finishFromLog(isComplete: true)
    }

    /// Ends the requests that end by `time` or by now, each at its own instant.
    private mutating func endRequests(before time: Timestamp) {
        while let first = inFlight.first, first.end <= max(time, clock.timestamp) {
            clock.advance(to: first.end)
            end(first)
            spare.append(first.request)
            inFlight.swapAt(0, inFlight.count - 1)
            inFlight.removeLast()
            var parent = 0
            while true {
                let children = [2 * parent + 1, 2 * parent + 2].filter { $0 < inFlight.count }
                guard let least = children.min(by: { inFlight[$0].end < inFlight[$1].end }),
                    inFlight[least].end < inFlight[parent].end
                else { break }
                inFlight.swapAt(parent, least)
                parent = least
            }
        }
    }
}

/// Knows no client: a replay doesn't ask Redis. A line of the log can name its tier.
private struct NobodyKnown: ClientDirectory {
    func lookUp(_ client: String, in hash: HashLookup, for asker: UInt64) -> StoreAnswer<LookupAnswer> {
        .decided(.unknown)
    }
}
