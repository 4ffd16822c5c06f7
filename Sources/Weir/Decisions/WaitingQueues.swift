import Synchronization

/// Tasks that wait for a limit, by key. One task at a time has the key's turn; the others follow in order of arrival.
///
/// A key is a keyed hash of the caller's string. Nothing is kept for a key that no task waits for.
final class WaitingQueues: Sendable {
    private typealias Continuation = CheckedContinuation<Void, any Error>

    private struct Queue {
        var waiting: [(id: UInt64, continuation: Continuation)] = []
        /// Counts the refunds since the key's queue was made.
        var freed: UInt64 = 0
        /// The task whose turn it is, while it waits for a refund.
        var watcher: (id: UInt64, continuation: Continuation)?
    }

    private struct State {
        var queues: [UInt64: Queue] = [:]
        var nextID: UInt64 = 0
        /// Tasks that were cancelled before they began to wait.
        var cancelled: Set<UInt64> = []

        mutating func makeID() -> UInt64 {
            nextID += 1
            return nextID
        }
    }

    private let state = Mutex(State())

    /// Takes the turn if it is free. Returns whether it did.
    func enterAtOnce(_ key: UInt64) -> Bool {
        state.withLock { state in
            guard state.queues[key] == nil else { return false }
            state.queues[key] = Queue()
            return true
        }
    }

    /// Waits for the turn and takes it.
    func enter(_ key: UInt64) async throws {
        let id = state.withLock { state -> UInt64? in
            if state.queues[key] != nil { return state.makeID() }
            state.queues[key] = Queue()
            return nil
        }
        guard let id else { return }
        try await wait(id) { state, continuation in
            guard state.queues[key] != nil else {
                // The other tasks have left meanwhile.
                state.queues[key] = Queue()
                return false
            }
            state.queues[key]?.waiting.append((id, continuation))
            return true
        } forget: { state in
            guard let place = state.queues[key]?.waiting.firstIndex(where: { $0.id == id }) else { return nil }
            return state.queues[key]?.waiting.remove(at: place).continuation
        }
    }

    /// Passes the turn to the next task.
    func leave(_ key: UInt64) {
        let next = state.withLock { state -> Continuation? in
            guard state.queues[key]?.waiting.isEmpty == false else {
                state.queues[key] = nil
                return nil
            }
            return state.queues[key]?.waiting.removeFirst().continuation
        }
        next?.resume()
    }

    /// The key's number of refunds so far, for ``waitUntilFreed(_:since:)``.
    func freed(_ key: UInt64) -> UInt64 { state.withLock { $0.queues[key]?.freed ?? 0 } }

    /// Lets the task whose turn it is ask again.
    func somethingWasFreed(_ key: UInt64) {
        let watcher = state.withLock { state -> Continuation? in
            guard state.queues[key] != nil else { return nil }
            state.queues[key]?.freed &+= 1
            defer { state.queues[key]?.watcher = nil }
            return state.queues[key]?.watcher?.continuation
        }
        watcher?.resume()
    }

    /// Waits until the key's number of refunds differs from `count`, which ``freed(_:)`` returned.
    func waitUntilFreed(_ key: UInt64, since count: UInt64) async throws {
        let id = state.withLock { $0.makeID() }
        try await wait(id) { state, continuation in
            guard state.queues[key]?.freed == count else { return false }
            state.queues[key]?.watcher = (id, continuation)
            return true
        } forget: { state in
            guard state.queues[key]?.watcher?.id == id else { return nil }
            defer { state.queues[key]?.watcher = nil }
            return state.queues[key]?.watcher?.continuation
        }
    }

    /// - Parameters:
    ///   - enlist: stores the continuation; returns false when there is nothing to wait for.
    ///   - forget: removes the continuation and returns it.
    private func wait(
        _ id: UInt64, enlist: (inout State, Continuation) -> Bool,
        forget: @escaping @Sendable (inout State) -> Continuation?
    ) async throws {
        defer { state.withLock { _ = $0.cancelled.remove(id) } }
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { (continuation: Continuation) in
                let outcome = state.withLock { state -> Result<Void, any Error>? in
                    if state.cancelled.contains(id) { return .failure(CancellationError()) }
                    return enlist(&state, continuation) ? nil : .success(())
                }
                if let outcome { continuation.resume(with: outcome) }
            }
        } onCancel: {
            let continuation = state.withLock { state -> Continuation? in
                if let continuation = forget(&state) { return continuation }
                state.cancelled.insert(id)
                return nil
            }
            continuation?.resume(throwing: CancellationError())
        }
    }
}
