public import Synchronization

/// A promise of one value: completed once by the store, waited for by one or more callers.
///
/// Inlinable, because stores elsewhere make one for each request, and the generic code takes longer than its work.
public final class PendingAnswer<Value: Sendable>: Sendable {
    @usableFromInline
    enum State {
        case waiting([@Sendable (Value) -> Void])
        case complete(Value)
    }

    @usableFromInline
    let state = Mutex(State.waiting([]))

    @inlinable
    public init() {}

    /// Fulfils the promise. Only the first value counts.
    @inlinable
    public func complete(_ value: Value) {
        let waiting = state.withLock { state -> [@Sendable (Value) -> Void] in
            guard case .waiting(let waiting) = state else { return [] }
            state = .complete(value)
            return waiting
        }
        for body in waiting { body(value) }
    }

    /// Calls `body` once with the value: at once if it is there, else on the thread that completes it.
    @inlinable
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
