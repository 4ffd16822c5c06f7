import Weir
import WeirHTTP

/// A decision as a line of JSON. Times are exact decimal seconds.
struct ReplayAnswer {
    /// The line, without a line feed.
    let json: String

    init(_ verdict: LimitedRequest.Verdict, _ request: LimitedRequest, _ limiter: RequestLimiter) {
        let decision = request.reportedDecision
        var delay = Duration.zero
        var status = 200
        switch verdict {
        // A limit other than the reported one may be what delays.
        case .pass(let wait): delay = wait
        case .answer(let problem): status = problem.status
        }
        let isDenied = status == 429
        let name = isDenied ? request.reportedRule.map { limiter.policy.limits[$0].name } : nil
        json =
            "{\"allowed\": \(status == 200), \"status\": \(status), \"limit\": \(decision.map { "\($0.quota)" } ?? "null")"
            + ", \"remaining\": \(decision.map { "\($0.remaining)" } ?? "null")"
            + ", \"retry_after\": \(Self.seconds(decision?.retryTicks))"
            + ", \"reset_after\": \(Self.seconds(decision?.resetTicks)), \"delay\": \(Self.seconds(delay.ticks))"
            + ", \"limited_by\": \(name.map { "\"\($0)\"" } ?? "null")}"
    }

    /// Writes microseconds as decimal seconds without trailing zeros, and nil as `null`.
    static func seconds(_ ticks: Ticks?) -> String {
        guard let ticks else { return "null" }
        let (whole, rest) = ticks.quotientAndRemainder(dividingBy: 1_000_000)
        if rest == 0 { return "\(whole)" }
        var fraction = String(rest)
        fraction = String(repeating: "0", count: 6 - fraction.count) + fraction
        while fraction.hasSuffix("0") { fraction.removeLast() }
        return "\(whole).\(fraction)"
    }
}
