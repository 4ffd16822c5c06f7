/// An answer, or a promise of one.
///
/// The memory store always answers at once, without a task, a thread hop or an allocation.
public struct StoreAnswer<Value: Sendable>: Sendable {
    package enum Kind: Sendable {
        case decided(Value)
        case pending(PendingAnswer<Result<Value, StoreError>>)
    }

    package let kind: Kind

    package init(_ kind: Kind) { self.kind = kind }

    /// An answer that is there already.
    public static func decided(_ value: Value) -> StoreAnswer { StoreAnswer(.decided(value)) }

    /// An answer that follows.
    public static func pending(_ answer: PendingAnswer<Result<Value, StoreError>>) -> StoreAnswer {
        StoreAnswer(.pending(answer))
    }

    /// The answer, once it is there.
    public var value: Value {
        get async throws(StoreError) {
            switch kind {
            case .decided(let value): value
            case .pending(let pending): try await pending.value.get()
            }
        }
    }
}
