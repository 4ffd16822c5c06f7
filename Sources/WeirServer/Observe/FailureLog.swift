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

    /// Logs that a response didn't say its cost, on the logger `weir.costs`.
    func logUnknownCost(limit: String, reason: String, path: String, at time: Timestamp) {
        guard let suppressed = admit(at: time / 1_000_000) else { return }
        var line = JSONLine()
        line.add("time", TimeText.text(of: time))
        line.add("level", "warning")
        line.add("logger", "weir.costs")
        line.add("message", "the response did not say its cost")
        line.add("limit", limit)
        line.add("reason", reason)
        line.add("path", path)
        if suppressed > 0 { line.add("suppressed", suppressed) }
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
