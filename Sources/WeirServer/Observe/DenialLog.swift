import Weir
import WeirHTTP

/// Writes one line of JSON for a denial, on the logger `weir.denials`. A line names the client by a keyed hash. It has
/// no key, token or user name, and no query, which may contain one.
final class DenialLog: Sendable {
    private let writer: LineWriter
    private let sampler = DenialSampler()

    init(_ writer: LineWriter) { self.writer = writer }

    /// Logs a denied request, unless its limit or client has used up this second's lines.
    ///
    /// - Returns: whether it was logged.
    func log(_ request: LimitedRequest, _ problem: ProblemDetails, method: String, _ policy: PolicyView) -> Bool {
        let most = policy.limiter.policy.log.denialsPerSecond
        guard most > 0, let rule = request.reportedRule, let decision = request.reportedDecision,
            let suppressed = sampler.admit(
                limit: policy.slots[rule], client: request.clientHashValue, at: decision.timestamp / 1_000_000,
                most: most)
        else { return false }
        let denial = request.denial(problem, method: method)
        writer.write(Self.line(denial, at: policy.limiter.now, suppressed: suppressed))
        return true
    }

    /// Logs a request that a limit in shadow mode would have denied, within the same bounds.
    func logShadow(_ request: LimitedRequest, rule: Int, method: String, _ policy: PolicyView) {
        let most = policy.limiter.policy.log.denialsPerSecond
        guard most > 0,
            let suppressed = sampler.admit(
                limit: policy.slots[rule], client: request.clientHashValue, at: policy.limiter.now / 1_000_000,
                most: most),
            let denial = request.shadowDenial(rule: rule, method: method)
        else { return }
        writer.write(
            Self.line(denial, "would have been denied (shadow)", at: policy.limiter.now, suppressed: suppressed))
    }

    static func line(
        _ denial: Denial, _ message: String = "denied", at time: Timestamp, suppressed: UInt64
    ) -> [UInt8] {
        var line = JSONLine()
        line.add("time", TimeText.text(of: time))
        line.add("level", "info")
        line.add("logger", "weir.denials")
        line.add("message", message)
        line.add("limits", denial.limits)
        line.add("client", denial.client)
        line.add("address", denial.address?.description ?? "")
        line.add("method", denial.method)
        line.add("path", denial.path)
        if let limit = denial.limit { line.add("limit", limit) }
        if let remaining = denial.remaining { line.add("remaining", remaining) }
        if let wait = denial.retryAfter { line.add("retry_after_us", Int64(clamping: wait.ticks)) }
        if let tier = denial.tier { line.add("tier", tier) }
        if suppressed > 0 { line.add("suppressed", suppressed) }
        return line.ended()
    }
}
