import Synchronization
import Weir

/// Whether a limit is still warming up. All users of the limit share it, and it survives a reload of the policy.
public final class WarmUp: Sendable {
    private let isReady: Atomic<Bool>
    /// The time when it ends; nil when the upstream's readiness ends it.
    private let end: Timestamp?

    init(_ until: WarmUpRule.Until, startedAt start: Timestamp) {
        switch until.kind {
        case .after(let span): end = start + span
        case .ready: end = nil
        }
        isReady = Atomic(false)
    }

    /// Ends the warm-up. It is called when the upstream is ready.
    public func finish() {
        isReady.store(true, ordering: .relaxed)
    }

    /// Whether the warm-up is known to be over. One by time is noticed at the first request after its end.
    public var isFinished: Bool { isReady.load(ordering: .relaxed) }

    func isWarm(at now: Timestamp) -> Bool {
        if isReady.load(ordering: .relaxed) { return true }
        guard let end, now >= end else { return false }
        finish()
        return true
    }

    /// How long to wait when only the warm-up denies a request, in microseconds: the time left, or a second.
    func retryAfter(at now: Timestamp) -> Ticks {
        end.map { Ticks(max(1, $0 - now)) } ?? 1_000_000
    }
}
