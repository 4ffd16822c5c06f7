/// An answer, or a promise of one.
///
/// The memory store always answers at once, without a task, a thread hop or an allocation.
public enum StoreAnswer<Value: Sendable>: Sendable {
    case decided(Value)
    case pending(PendingAnswer<Result<Value, StoreError>>)

    /// The answer, once it is there.
    public var value: Value {
        get async throws(StoreError) {
            switch self {
            case .decided(let value): value
            case .pending(let pending): try await pending.value.get()
            }
        }
    }
}
