import Synchronization

/// A promise of one value: completed once by the store, waited for by one or more callers.
public final class PendingAnswer<Value: Sendable>: Sendable {
    private enum State {
        case waiting([@Sendable (Value) -> Void])
        case complete(Value)
    }

    private let state = Mutex(State.waiting([]))

    public init() {}

    /// Fulfils the promise. Only the first value counts.
    public func complete(_ value: Value) {
        let waiting = state.withLock { state -> [@Sendable (Value) -> Void] in
            guard case .waiting(let waiting) = state else { return [] }
            state = .complete(value)
            return waiting
        }
        for body in waiting { body(value) }
    }

    /// Calls `body` once with the value: at once if it is there, else on the thread that completes it.
    public func whenComplete(_ body: @escaping @Sendable (Value) -> Void) {
        let value = state.withLock { state -> Value? in
            switch state {
            case .complete(let value): return value
            case .waiting(let waiting):
                state = .waiting(waiting + [body])
                return nil
            }
        }
        if let value { body(value) }
    }

    /// Waits for the value. A store completes every promise by its deadline, so this never hangs.
    public var value: Value {
        get async {
            await withCheckedContinuation { continuation in
                whenComplete { continuation.resume(returning: $0) }
            }
        }
    }
}
