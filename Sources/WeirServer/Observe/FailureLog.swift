import Synchronization
import Weir
import WeirHTTP

/// Writes a line of JSON for an exchange that the upstream failed, on the logger `weir.upstream`, and for a response
/// that didn't say its cost: at most 100 a second. The next line says how many were left out. It has no query, which
/// may contain a secret.
final class FailureLog: Sendable {
    private struct State {
        var second: Int64 = .min
        var logged = 0
        var suppressed: UInt64 = 0
        var minuteOfIgnored: Int64 = .min
    }

    private let writer: LineWriter
    private let state = Mutex(State())

    static let mostPerSecond = 100

    init(_ writer: LineWriter) { self.writer = writer }

    /// - Parameters:
    ///   - details: what the client is told.
    ///   - time: the present time.
    func log(_ details: ProblemDetails, method: String, path: String, upstream: String, at time: Timestamp) {
        guard let suppressed = admit(at: time / 1_000_000) else { return }
        var line = JSONLine()
        line.add("time", TimeText.text(of: time))
        line.add("level", "warning")
        line.add("logger", "weir.upstream")
        line.add("message", details.detail)
        line.add("status", Int64(details.status))
        line.add("upstream", upstream)
        line.add("method", method)
        line.add("path", path)
        if suppressed > 0 { line.add("suppressed", suppressed) }
        writer.write(line.ended())
    }

    /// Logs that a response didn't say its cost, or that a request's can't be read, on the logger `weir.costs`.
    func logUnknownCost(limit: String, reason: String, path: String, at time: Timestamp) {
        guard let suppressed = admit(at: time / 1_000_000) else { return }
        var line = JSONLine()
        line.add("time", TimeText.text(of: time))
        line.add("level", "warning")
        line.add("logger", "weir.costs")
        line.add(
            "message",
            reason.hasPrefix("request")
                ? "the request's cost could not be read, so it costs the most" : "the response did not say its cost")
        line.add("limit", limit)
        line.add("reason", reason)
        line.add("path", path)
        if suppressed > 0 { line.add("suppressed", suppressed) }
        writer.write(line.ended())
    }

    /// Says, once a minute, that a sender named a client's address without being trusted. Behind a proxy that the
    /// policy doesn't trust, all clients would share one budget.
    func logIgnoredAddress(header: String, peer: String, at time: Timestamp) {
        let isDue = state.withLock { state in
            guard time / 60_000_000 != state.minuteOfIgnored else { return false }
            state.minuteOfIgnored = time / 60_000_000
            return true
        }
        guard isDue else { return }
        var line = JSONLine()
        line.add("time", TimeText.text(of: time))
        line.add("level", "warning")
        line.add("logger", "weir")
        line.add("message", "\(header) from \(peer) was ignored: it is not in trusted_proxies")
        writer.write(line.ended())
    }

    /// Returns nil when the failure is not logged, else the number of failures left out since the last line.
    func admit(at second: Int64) -> UInt64? {
        state.withLock { state in
            if state.second != second {
                state.second = second
                state.logged = 0
            }
            guard state.logged < Self.mostPerSecond else {
                state.suppressed &+= 1
                return nil
            }
            state.logged += 1
            defer { state.suppressed = 0 }
            return state.suppressed
        }
    }
}
