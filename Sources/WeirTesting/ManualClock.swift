import Synchronization
public import Weir

/// A clock that stands still until a test moves it, in either direction.
public final class ManualClock: TickClock {
    private struct Waiter {
        var id: UInt64
        var end: Timestamp
        var continuation: CheckedContinuation<Void, any Error>
    }

    /// A caller that waits until enough tasks sleep.
    private struct Watcher {
        var id: UInt64
        var count: Int
        var continuation: CheckedContinuation<Void, any Error>
    }

    private struct State {
        var waiters: [Waiter] = []
        var watchers: [Watcher] = []
        var nextID: UInt64 = 0
        var cancelled: Set<UInt64> = []

        /// Removes the watchers whose number of sleeping tasks is reached.
        mutating func takeWatchers() -> [Watcher] {
            let sleeping = waiters.count
            defer { watchers.removeAll { $0.count <= sleeping } }
            return watchers.filter { $0.count <= sleeping }
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
    public var waiting: Int { state.withLock { $0.waiters.count } }

    /// Waits until at least `count` tasks sleep by the clock. A test calls it before it moves the clock, so that the
    /// code under test has come as far as its wait.
    ///
    /// - Throws: `CancellationError` when the task is cancelled.
    public func waitUntilWaiting(count: Int = 1) async throws {
        let id = makeID()
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
                let outcome = state.withLock { state -> Result<Void, any Error>? in
                    if state.cancelled.remove(id) != nil { return .failure(CancellationError()) }
                    if state.waiters.count >= count { return .success(()) }
                    state.watchers.append(Watcher(id: id, count: count, continuation: continuation))
                    return nil
                }
                if let outcome { continuation.resume(with: outcome) }
            }
        } onCancel: {
            let watcher = state.withLock { state -> Watcher? in
                guard let index = state.watchers.firstIndex(where: { $0.id == id }) else {
                    state.cancelled.insert(id)
                    return nil
                }
                return state.watchers.remove(at: index)
            }
            watcher?.continuation.resume(throwing: CancellationError())
        }
    }

    /// Sleeps until the clock has been moved `time` ahead.
    ///
    /// - Throws: `CancellationError` when the task is cancelled.
    public func sleep(for time: Duration) async throws {
        let end = timestamp + max(0, Timestamp(clamping: time.ticks))
        let id = makeID()
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
                let (isCancelled, watchers) = state.withLock { state -> (Bool, [Watcher]) in
                    if state.cancelled.remove(id) != nil { return (true, []) }
                    state.waiters.append(Waiter(id: id, end: end, continuation: continuation))
                    return (false, state.takeWatchers())
                }
                if isCancelled {
                    continuation.resume(throwing: CancellationError())
                } else {
                    for watcher in watchers { watcher.continuation.resume() }
                    wake()
                }
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

    private func makeID() -> UInt64 {
        state.withLock { state in
            state.nextID += 1
            return state.nextID
        }
    }

    private func wake() {
        let now = timestamp
        let due = state.withLock { state in
            let due = state.waiters.filter { $0.end <= now }
            state.waiters.removeAll { $0.end <= now }
            return due
        }
        for waiter in due.sorted(by: { $0.end < $1.end }) { waiter.continuation.resume() }
    }
}
