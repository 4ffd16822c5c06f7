public import Synchronization

/// A promise of one value: completed once by the store, waited for by one or more callers.
///
/// Inlinable, because stores elsewhere make one for each request, and the generic code takes longer than its work.
public final class PendingAnswer<Value: Sendable>: Sendable {
    @usableFromInline
    let state: Mutex<PendingState>

    @inlinable
    public init() {
        // Here, because the initial value of a property would not be inlined.
        state = Mutex(.waiting(nil, more: []))
    }

    /// Fulfils the promise. Only the first value counts.
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

    /// Calls `body` once with the value: at once if it is there, else on the thread that completes it.
    @inlinable
    public func whenComplete(_ body: @escaping @Sendable (Value) -> Void) {
        // Only `complete` makes what this receives.
        wait(.call { body(unsafeDowncast($0, to: AnswerBox<Value>.self).value) })
    }

    /// Waits for the value. A store completes every promise by its deadline, so this never hangs.
    public var value: Value {
        get async {
            // A waiter is told once, which is what a checked continuation would check.
            let answer = await withUnsafeContinuation { wait(.resume($0)) }
            // Only `complete` makes what this receives.
            return unsafeDowncast(answer, to: AnswerBox<Value>.self).value
        }
    }

    @usableFromInline
    func wait(_ waiter: AnswerWaiter) {
        let answer = state.withLock { state in state.wait(waiter) }
        if let answer { waiter.receive(answer) }
    }
}

/// What a ``PendingAnswer`` holds: those who wait, or an ``AnswerBox``.
///
/// It knows nothing of the value's type, for that is looked up whenever a generic class uses a field that has it, which
/// took a tenth of what a decision on Redis costs an app.
@usableFromInline
enum PendingState: Sendable {
    /// Mostly one waits: no list is made for it.
    case waiting(AnswerWaiter?, more: [AnswerWaiter])
    case complete(any AnyObject & Sendable)

    /// Takes in a waiter, or returns what it waits for.
    mutating func wait(_ waiter: AnswerWaiter) -> (any AnyObject & Sendable)? {
        switch self {
        case .complete(let answer): return answer
        case .waiting(nil, _): self = .waiting(waiter, more: [])
        case .waiting(let first, let more): self = .waiting(first, more: more + [waiter])
        }
        return nil
    }
}

/// Somebody who waits for an ``AnswerBox``.
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
