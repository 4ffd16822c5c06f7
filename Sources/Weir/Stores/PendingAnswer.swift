public import Synchronization

/// A promise of one value. The store completes it once; one or more callers wait for it.
///
/// It is inlinable because stores in other modules make one per request, and unspecialized generic code would take
/// longer than the work itself.
public final class PendingAnswer<Value: Sendable>: Sendable {
    @usableFromInline
    let state: Mutex<PendingState>

    /// Creates a promise without a value.
    @inlinable
    public init() {
        // Initialize it here: a property's initial value is not inlined.
        state = Mutex(.waiting(nil, more: []))
    }

    /// Fulfils the promise. Later values are ignored.
    @inlinable
    public func complete(_ value: Value) {
        let answer = AnswerBox(value)
        let (first, more) = state.withLock { state -> (AnswerWaiter?, [AnswerWaiter]) in
            guard case .waiting(let first, let more) = state else { return (nil, []) }
            state = .complete(answer)
            return (first, more)
        }
        first?.receive(answer)
        for waiter in more { waiter.receive(answer) }
    }

    /// Calls `body` once with the value: at once if the promise is fulfilled, otherwise on the thread that completes
    /// it.
    @inlinable
    public func whenComplete(_ body: @escaping @Sendable (Value) -> Void) {
        // Only `complete` makes the object received here.
        wait(.call { body(unsafeDowncast($0, to: AnswerBox<Value>.self).value) })
    }

    /// The value, once the promise is fulfilled. A store completes every promise by its deadline, so this never hangs.
    public var value: Value {
        get async {
            // Each waiter is resumed exactly once, so a checked continuation would add nothing.
            let answer = await withUnsafeContinuation { wait(.resume($0)) }
            // Only `complete` makes the object received here.
            return unsafeDowncast(answer, to: AnswerBox<Value>.self).value
        }
    }

    @usableFromInline
    func wait(_ waiter: AnswerWaiter) {
        let answer = state.withLock { state in state.wait(waiter) }
        if let answer { waiter.receive(answer) }
    }
}

/// The state of a ``PendingAnswer``: its waiters, or an ``AnswerBox``.
///
/// It is not generic. A generic class looks its value's type up at each use of a field of that type, which took a tenth
/// of a Redis decision's time in an app.
@usableFromInline
enum PendingState: Sendable {
    /// Usually there is one waiter, so no array is allocated for it.
    case waiting(AnswerWaiter?, more: [AnswerWaiter])
    case complete(any AnyObject & Sendable)

    /// Adds a waiter, or returns the box if the promise is fulfilled.
    mutating func wait(_ waiter: AnswerWaiter) -> (any AnyObject & Sendable)? {
        switch self {
        case .complete(let answer): return answer
        case .waiting(nil, _): self = .waiting(waiter, more: [])
        case .waiting(let first, let more): self = .waiting(first, more: more + [waiter])
        }
        return nil
    }
}

/// A caller that waits for an ``AnswerBox``.
@usableFromInline
enum AnswerWaiter: Sendable {
    case call(@Sendable (AnyObject) -> Void)
    case resume(UnsafeContinuation<any AnyObject & Sendable, Never>)

    @usableFromInline
    func receive(_ answer: any AnyObject & Sendable) {
        switch self {
        case .call(let body): body(answer)
        case .resume(let continuation): continuation.resume(returning: answer)
        }
    }
}

@usableFromInline
final class AnswerBox<Value: Sendable>: Sendable {
    @usableFromInline
    let value: Value

    @inlinable
    init(_ value: Value) { self.value = value }
}
