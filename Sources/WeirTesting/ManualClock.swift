import Synchronization
public import Weir

/// A clock that stands still until it is told to move, in either direction.
public final class ManualClock: TickClock {
    private let time: Atomic<Timestamp>

    /// - Parameter time: microseconds since the Unix epoch; September 2026 unless given.
    public init(at time: Timestamp = 1_790_000_000_000_000) {
        self.time = Atomic(time)
    }

    public func now() -> Timestamp { time.load(ordering: .sequentiallyConsistent) }

    public func set(to time: Timestamp) { self.time.store(time, ordering: .sequentiallyConsistent) }

    /// Moves the clock by so many microseconds, back when negative.
    public func advance(by ticks: Timestamp) { time.wrappingAdd(ticks, ordering: .sequentiallyConsistent) }
}
