import Synchronization
public import Weir

/// A clock that stands still until a test moves it, in either direction.
public final class ManualClock: TickClock {
    private struct Waiter {
        var id: UInt64
        var end: Timestamp
        var continuation: CheckedContinuation<Void, any Error>
    }

    private struct State {
        var waiters: [Waiter] = []
        var nextID: UInt64 = 0
        var cancelled: Set<UInt64> = []
    }

    private let time: Atomic<Timestamp>
    private let state = Mutex(State())

    /// Creates a clock that shows `time`.
    ///
    /// - Parameter time: microseconds since the Unix epoch; an instant in September 2026 by default.
    public init(at time: Timestamp = 1_790_000_000_000_000) {
        self.time = Atomic(time)
    }

    public func now() -> Timestamp { time.load(ordering: .sequentiallyConsistent) }

    /// Sets the clock to `time`, in microseconds since the Unix epoch, and resumes waits that are due.
    public func set(to time: Timestamp) {
        self.time.store(time, ordering: .sequentiallyConsistent)
        wake()
    }

    /// Moves the clock by `ticks` microseconds, back if negative, and resumes waits that are due.
    public func advance(by ticks: Timestamp) {
        time.wrappingAdd(ticks, ordering: .sequentiallyConsistent)
        wake()
    }

    /// The number of tasks that wait for the clock.
    public var waiting: Int { state.withLock { $0.waiters.count } }

    /// Waits until the clock has been moved `ticks` microseconds ahead.
    ///
    /// - Throws: `CancellationError` when the task is cancelled.
    public func wait(_ ticks: Timestamp) async throws {
        let end = now() + max(0, ticks)
        let id = state.withLock { state in
            state.nextID += 1
            return state.nextID
        }
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
                let isCancelled = state.withLock { state in
                    if state.cancelled.remove(id) != nil { return true }
                    state.waiters.append(Waiter(id: id, end: end, continuation: continuation))
                    return false
                }
                if isCancelled { continuation.resume(throwing: CancellationError()) } else { wake() }
            }
        } onCancel: {
            let waiter = state.withLock { state -> Waiter? in
                guard let index = state.waiters.firstIndex(where: { $0.id == id }) else {
                    state.cancelled.insert(id)
                    return nil
                }
                return state.waiters.remove(at: index)
            }
            waiter?.continuation.resume(throwing: CancellationError())
        }
    }

    private func wake() {
        let now = now()
        let due = state.withLock { state in
            let due = state.waiters.filter { $0.end <= now }
            state.waiters.removeAll { $0.end <= now }
            return due
        }
        for waiter in due.sorted(by: { $0.end < $1.end }) { waiter.continuation.resume() }
    }
}
