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
        state = Mutex(.waiting(nil))
    }

    /// Fulfils the promise. Only the first value counts.
    @inlinable
    public func complete(_ value: Value) {
        let answer = AnswerBox(value)
        let last = state.withLock { state -> AnswerWaiter? in
            guard case .waiting(let last) = state else { return nil }
            state = .complete(answer)
            return last
        }
        last?.receive(answer)
    }

    /// Calls `body` once with the value: at once if it is there, else on the thread that completes it.
    @inlinable
    public func whenComplete(_ body: @escaping @Sendable (Value) -> Void) {
        // Only `complete` makes what this receives.
        let receive: @Sendable (AnyObject) -> Void = { body(unsafeDowncast($0, to: AnswerBox<Value>.self).value) }
        let answer = state.withLock { state -> AnyObject? in
            switch state {
            case .complete(let answer): return answer
            case .waiting(let last):
                state = .waiting(AnswerWaiter(receive, after: last))
                return nil
            }
        }
        if let answer { receive(answer) }
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

/// What a ``PendingAnswer`` holds: either those who wait, the last one first, or an ``AnswerBox``.
///
/// It knows nothing of the value's type, for that is looked up whenever a generic class uses a field that has it, which
/// took a tenth of what a decision on Redis costs an app.
@usableFromInline
enum PendingState: Sendable {
    case waiting(AnswerWaiter?)
    case complete(any AnyObject & Sendable)
}

@usableFromInline
final class AnswerBox<Value: Sendable>: Sendable {
    @usableFromInline
    let value: Value

    @inlinable
    init(_ value: Value) { self.value = value }
}

@usableFromInline
final class AnswerWaiter: Sendable {
    private let body: @Sendable (AnyObject) -> Void
    private let earlier: AnswerWaiter?

    @usableFromInline
    init(_ body: @escaping @Sendable (AnyObject) -> Void, after earlier: AnswerWaiter?) {
        self.body = body
        self.earlier = earlier
    }

    /// Those who came earlier are told first.
    @usableFromInline
    func receive(_ answer: AnyObject) {
        guard earlier != nil else { return body(answer) }
        // A list, for with a call in a call many would need a deep stack.
        var waiters = [self]
        while let next = waiters[waiters.count - 1].earlier { waiters.append(next) }
        for waiter in waiters.reversed() { waiter.body(answer) }
    }
}
