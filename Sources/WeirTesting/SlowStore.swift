import Synchronization
public import Weir

/// A store that answers only when told to, like a server at the end of a slow line.
///
/// When it is released, the store behind it decides.
public final class SlowStore: Store {
    private let store: any Store
    private let waiting = Mutex<[@Sendable (StoreError?) -> Void]>([])

    /// Creates a slow store in front of `store`.
    public init(before store: any Store) {
        self.store = store
    }

    public var keyHasher: KeyHasher { store.keyHasher }

    public var clientDirectory: (any ClientDirectory)? { store.clientDirectory }

    public var report: StoreReport { store.report }

    public func maintain(share: Int) { store.maintain(share: share) }

    /// The number of calls that wait for an answer.
    public var waitingCount: Int { waiting.withLock { $0.count } }

    /// Fails all waiting calls, as if the server were gone.
    public func fail(_ failure: StoreError = StoreError(.unavailable, "the server is gone")) {
        let failing = waiting.withLock { waiting in
            let failing = waiting
            waiting = []
            return failing
        }
        for waiting in failing { waiting(failure) }
    }

    /// Answers all waiting calls, in the order in which they came.
    public func release() {
        let ready = waiting.withLock { waiting in
            let ready = waiting
            waiting = []
            return ready
        }
        for answer in ready { answer(nil) }
    }

    public func decide(_ charges: [Charge], into decisions: inout [Decision]) -> PendingAnswer<DecisionResult>? {
        hold { [store] answer in
            var decisions: [Decision] = []
            if let pending = store.decide(charges, into: &decisions) {
                pending.whenComplete { answer.complete($0) }
            } else {
                answer.complete(.success(decisions))
            }
        }
    }

    public func apply(_ adjustment: Adjustment) -> StoreAnswer<Bool> {
        .pending(
            hold { [store] answer in
                switch store.apply(adjustment).kind {
                case .decided(let value): answer.complete(.success(value))
                case .pending(let pending): pending.whenComplete { answer.complete($0) }
                }
            })
    }

    private func hold<Value: Sendable>(
        _ body: @escaping @Sendable (PendingAnswer<Result<Value, StoreError>>) -> Void
    ) -> PendingAnswer<Result<Value, StoreError>> {
        let answer = PendingAnswer<Result<Value, StoreError>>()
        waiting.withLock {
            $0.append { failure in
                if let failure { answer.complete(.failure(failure)) } else { body(answer) }
            }
        }
        return answer
    }
}
