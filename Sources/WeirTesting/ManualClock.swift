import Synchronization
public import Weir

/// A clock that stands still until a test moves it, in either direction.
public final class ManualClock: TickClock {
    private enum Condition {
        /// The clock shows this time.
        case time(Timestamp)
        /// This many tasks sleep by the clock.
        case sleepers(Int)
    }

    private struct Waiter {
        var id: UInt64
        var condition: Condition
        var continuation: CheckedContinuation<Void, any Error>

        /// When it ends; nil if it doesn't wait for a time.
        var end: Timestamp? { if case .time(let end) = condition { end } else { nil } }
    }

    private struct State {
        var waiters: [Waiter] = []
        var nextID: UInt64 = 0
        var cancelled: Set<UInt64> = []

        /// The number of tasks that sleep by the clock.
        var sleepers: Int { waiters.count { $0.end != nil } }

        /// Removes the waiters whose condition is met.
        mutating func takeDue(at now: Timestamp) -> [Waiter] {
            let sleepers = sleepers
            func isDue(_ waiter: Waiter) -> Bool {
                switch waiter.condition {
                case .time(let end): end <= now
                case .sleepers(let count): count <= sleepers
                }
            }
            defer { waiters.removeAll(where: isDue) }
            return waiters.filter(isDue)
        }
    }

    private let time: Atomic<Timestamp>
    private let state = Mutex(State())

    /// Creates a clock that shows `time`; an instant in September 2026 by default.
    public convenience init(at time: Instant = Instant(sinceEpoch: .seconds(1_790_000_000))) {
        self.init(atTicks: time.microseconds)
    }

    /// Creates a clock that shows a time in microseconds since the Unix epoch.
    package init(atTicks time: Timestamp) {
        self.time = Atomic(time)
    }

    public func now() -> Instant { Instant(microseconds: time.load(ordering: .sequentiallyConsistent)) }

    /// Sets the clock to `time`, and resumes sleeps that are due.
    public func set(to time: Instant) {
        self.time.store(time.microseconds, ordering: .sequentiallyConsistent)
        wake()
    }

    /// Moves the clock by `time`, back if negative, and resumes sleeps that are due. A fraction of a microsecond is
    /// ignored.
    public func advance(by time: Duration) {
        self.time.wrappingAdd(Timestamp(clamping: time.ticks), ordering: .sequentiallyConsistent)
        wake()
    }

    /// The number of tasks that sleep by the clock.
    public var waiting: Int { state.withLock { $0.sleepers } }

    /// Waits until at least `count` tasks sleep by the clock. A test calls it before it moves the clock, so that the
    /// code under test has come as far as its wait.
    ///
    /// - Throws: `CancellationError` when the task is cancelled.
    public func waitUntilWaiting(count: Int = 1) async throws {
        try await wait(for: .sleepers(count))
    }

    /// Sleeps until the clock has been moved `time` ahead.
    ///
    /// - Throws: `CancellationError` when the task is cancelled.
    public func sleep(for time: Duration) async throws {
        try await wait(for: .time(timestamp + max(0, Timestamp(clamping: time.ticks))))
    }

    private func wait(for condition: Condition) async throws {
        let id = state.withLock { state in
            state.nextID += 1
            return state.nextID
        }
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
                let isCancelled = state.withLock { state in
                    if state.cancelled.remove(id) != nil { return true }
                    state.waiters.append(Waiter(id: id, condition: condition, continuation: continuation))
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
        let now = timestamp
        let due = state.withLock { $0.takeDue(at: now) }
        for waiter in due.sorted(by: { ($0.end ?? .min) < ($1.end ?? .min) }) { waiter.continuation.resume() }
    }
}
