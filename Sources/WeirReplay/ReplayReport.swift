import Weir
import WeirHTTP

/// The summary of a replay: who would have been limited, when, and by which limit.
package struct ReplayReport: CustomStringConvertible {
    /// The number of lines that couldn't be read.
    var broken = 0
    private var lines = 0
    /// The number of lines with each field that nobody reads.
    private var unknownFields: [String: Int] = [:]
    /// The number of requests of each limit whose cost or key the log doesn't tell, and the field that would.
    private var untold: [Untold: Int] = [:]

    private struct Untold: Hashable {
        var limit: String
        var what: String
    }

    /// Whether any line could be read.
    package var hasLines: Bool { lines > 0 }
    private var allowed = 0
    private var delayed = 0
    /// The number of requests that were not forwarded, by their status.
    private var refused: [Int: Int] = [:]
    /// For each limit, its denials, its would-be denials in shadow mode, and the time of the first of either.
    private var limits: [String: (denied: Int, shadow: Int, first: Timestamp)] = [:]
    /// The number of denials by address, for the first ``mostClients`` addresses that were denied.
    private var clients: [IPAddress: Int] = [:]
    /// Bounds the memory that the log of an attack can take.
    private static let mostClients = 100_000
    private static let mostFields = 20

    /// Adds a decision.
    ///
    /// - Parameter now: the time of the decision, in microseconds.
    mutating func count(
        _ line: ReplayLine, verdict: LimitedRequest.Verdict, request: LimitedRequest, limiter: RequestLimiter,
        at now: Timestamp
    ) {
        lines += 1
        for field in line.unknownFields where unknownFields.count < Self.mostFields || unknownFields[field] != nil {
            unknownFields[field, default: 0] += 1
        }
        switch verdict {
        case .pass(let delay):
            allowed += 1
            if delay > .zero { delayed += 1 }
        case .answer(let problem):
            refused[problem.status, default: 0] += 1
            if problem.status == 429, clients.count < Self.mostClients || clients[line.address] != nil {
                clients[line.address, default: 0] += 1
            }
        }
        request.forEachOutcome { outcome in
            let rule = limiter.policy.limits[outcome.rule]
            if let what = line.missing(for: rule) { untold[Untold(limit: rule.name, what: what), default: 0] += 1 }
            guard !outcome.allowed else { return }
            var entry = limits[rule.name] ?? (0, 0, now)
            if outcome.isShadow { entry.shadow += 1 } else { entry.denied += 1 }
            limits[rule.name] = entry
        }
    }

    package var description: String {
        var text = "\(lines) request\(lines == 1 ? "" : "s"): \(allowed) allowed"
        if delayed > 0 { text += " (\(delayed) delayed)" }
        for (status, count) in refused.sorted(by: { $0.key < $1.key }) { text += ", \(count) answered \(status)" }
        if broken > 0 { text += "; \(broken) broken line\(broken == 1 ? "" : "s")" }
        for (name, entry) in limits.sorted(by: { ($0.value.denied, $0.key) > ($1.value.denied, $1.key) }) {
            text += "\n  limit \(name): denied \(entry.denied)"
            if entry.shadow > 0 { text += ", would have denied \(entry.shadow) (shadow)" }
            text += ", first at \(ReplayAnswer.seconds(Ticks(entry.first)))"
        }
        for (what, count) in untold.sorted(by: { ($0.key.limit, $0.key.what) < ($1.key.limit, $1.key.what) }) {
            text += "\n  limit \(what.limit): \(what.what) in \(count) request\(count == 1 ? "" : "s")"
        }
        for (field, count) in unknownFields.sorted(by: { $0.key < $1.key }) {
            let known = ReplayLine.otherNames[field].map { "; it is called '\($0)' here" } ?? ""
            text += "\n  unknown field '\(field)' in \(count) line\(count == 1 ? "" : "s")\(known)"
        }
        for (address, count) in clients.sorted(by: { ($0.value, $0.key.description) > ($1.value, $1.key.description) })
            .prefix(10)
        {
            text += "\n  client \(address): denied \(count)"
        }
        return text
    }
}
