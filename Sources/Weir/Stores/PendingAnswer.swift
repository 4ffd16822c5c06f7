public import Synchronization

/// A promise of one value: completed once by the store, waited for by one or more callers.
///
/// Inlinable, because stores elsewhere make one for each request, and the generic code takes longer than its work.
public final class PendingAnswer<Value: Sendable>: Sendable {
    @usableFromInline
    enum State {
        /// Mostly one waits: no list is made for it.
        case waiting((@Sendable (Value) -> Void)?, more: [@Sendable (Value) -> Void])
        case complete(Value)
    }

    @usableFromInline
    let state: Mutex<State>

    @inlinable
    public init() {
        // Here, because the initial value of a property would not be inlined.
        state = Mutex(.waiting(nil, more: []))
    }

    /// Fulfils the promise. Only the first value counts.
    @inlinable
    public func complete(_ value: Value) {
        let (first, more) = state.withLock { state -> ((@Sendable (Value) -> Void)?, [@Sendable (Value) -> Void]) in
            guard case .waiting(let first, let more) = state else { return (nil, []) }
            state = .complete(value)
            return (first, more)
        }
        first?(value)
        for body in more { body(value) }
    }

    /// Calls `body` once with the value: at once if it is there, else on the thread that completes it.
    @inlinable
    public func whenComplete(_ body: @escaping @Sendable (Value) -> Void) {
        let value = state.withLock { state -> Value? in
            switch state {
            case .complete(let value): return value
            case .waiting(nil, _):
                state = .waiting(body, more: [])
                return nil
            case .waiting(let first, let more):
                state = .waiting(first, more: more + [body])
                return nil
            }
        }
        if let value { body(value) }
    }

    /// Waits for the value. A store completes every promise by its deadline, so this never hangs.
    public var value: Value {
        get async {
            // A body is called once, which is what a checked continuation would check.
            await withUnsafeContinuation { continuation in
                whenComplete { continuation.resume(returning: $0) }
            }
        }
    }
}
