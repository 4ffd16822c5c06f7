import Synchronization
import Weir

/// Whether a limit is still warming up. Shared by all who decide by it, and kept over a reload of the policy.
public final class WarmUp: Sendable {
    private let isReady: Atomic<Bool>
    /// When it ends by time; nil when the upstream says so.
    private let end: Timestamp?

    init(_ until: WarmUpRule.Until, startedAt start: Timestamp) {
        switch until {
        case .after(let span): end = start + span
        case .ready: end = nil
        }
        isReady = Atomic(false)
    }

    /// Called when the upstream says that it is ready.
    public func finish() {
        isReady.store(true, ordering: .relaxed)
    }

    public var isFinished: Bool { isReady.load(ordering: .relaxed) }

    func isWarm(at now: Timestamp) -> Bool {
        if isReady.load(ordering: .relaxed) { return true }
        guard let end, now >= end else { return false }
        finish()
        return true
    }

    /// How long a request should wait that only the warm-up makes impossible: what is left, or a second.
    func retryAfter(at now: Timestamp) -> Ticks {
        end.map { Ticks(max(1, $0 - now)) } ?? 1_000_000
    }
}
