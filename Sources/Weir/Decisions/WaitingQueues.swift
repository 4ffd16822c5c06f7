import Synchronization

/// Those who wait for a limit, key by key: one at a time has its turn, the others follow in the order in which they came.
///
/// It keeps nothing of a key for which nobody waits.
final class WaitingQueues: Sendable {
    private typealias Continuation = CheckedContinuation<Void, any Error>

    private struct Queue {
        var waiting: [(id: UInt64, continuation: Continuation)] = []
        /// Counts what was given back while somebody had the turn.
        var freed: UInt64 = 0
        /// The one whose turn it is, if it waits for something to be given back.
        var watcher: (id: UInt64, continuation: Continuation)?
    }

    private struct State {
        var queues: [String: Queue] = [:]
        var nextID: UInt64 = 0
        /// Cancelled before they began to wait.
        var cancelled: Set<UInt64> = []

        mutating func makeID() -> UInt64 {
            nextID += 1
            return nextID
        }
    }

    private let state = Mutex(State())

    /// Takes the turn if it is nobody's.
    func enterAtOnce(_ key: String) -> Bool {
        state.withLock { state in
            guard state.queues[key] == nil else { return false }
            state.queues[key] = Queue()
            return true
        }
    }

    /// Waits for the turn.
    func enter(_ key: String) async throws {
        let id = state.withLock { state -> UInt64? in
            if state.queues[key] != nil { return state.makeID() }
            state.queues[key] = Queue()
            return nil
        }
        guard let id else { return }
        try await wait(id) { state, continuation in
            guard state.queues[key] != nil else {
                // Meanwhile the others have gone.
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

    /// Gives the turn to the next.
    func leave(_ key: String) {
        let next = state.withLock { state -> Continuation? in
            guard state.queues[key]?.waiting.isEmpty == false else {
                state.queues[key] = nil
                return nil
            }
            return state.queues[key]?.waiting.removeFirst().continuation
        }
        next?.resume()
    }

    /// How much was given back so far, for ``waitUntilFreed(_:since:)``.
    func freed(_ key: String) -> UInt64 { state.withLock { $0.queues[key]?.freed ?? 0 } }

    /// Whoever has the turn may look again.
    func somethingWasFreed(_ key: String) {
        let watcher = state.withLock { state -> Continuation? in
            guard state.queues[key] != nil else { return nil }
            state.queues[key]?.freed &+= 1
            defer { state.queues[key]?.watcher = nil }
            return state.queues[key]?.watcher?.continuation
        }
        watcher?.resume()
    }

    /// Waits until something is given back that wasn't yet at a count of ``freed(_:)``.
    func waitUntilFreed(_ key: String, since count: UInt64) async throws {
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
    ///   - enlist: keeps the continuation; false when there is nothing to wait for.
    ///   - forget: takes it out again.
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
