/// An answer now, or a promise of one.
///
/// The memory store always answers at once: no task, no thread hop, no allocation.
public enum StoreAnswer<Value: Sendable>: Sendable {
    case decided(Value)
    case pending(PendingAnswer<Result<Value, StoreFailure>>)

    /// The answer, waited for if need be.
    public var value: Value {
        get async throws(StoreFailure) {
            switch self {
            case .decided(let value): value
            case .pending(let pending): try await pending.value.get()
            }
        }
    }
}
