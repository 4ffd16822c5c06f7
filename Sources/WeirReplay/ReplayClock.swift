import Synchronization
package import Weir

/// The virtual time of a replay.
package final class ReplayClock: TickClock {
    private let time = Atomic<Timestamp>(0)

    package init() {}

    package func now() -> Instant { Instant(microseconds: time.load(ordering: .relaxed)) }

    /// Moves to an instant, in microseconds. The clock never goes back: an earlier line is decided at the latest time
    /// so far.
    package func advance(to instant: Timestamp) {
        time.store(max(instant, timestamp), ordering: .relaxed)
    }
}
