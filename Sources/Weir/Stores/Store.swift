/// One limit to be decided about one key: a value, so that a script, a batch or a test double can execute it.
public struct Charge: Sendable, Hashable {
    public var numbers: LimitNumbers
    public var key: Key
    /// Units to spend, 0 to 10^9; 0 is a peek, which changes nothing.
    public var cost: Int64
    /// Units that must be there for the request to pass, at least `cost`. More than `cost` when the rest of a
    /// request's cost is known only after its response.
    public var required: Int64
    /// A shadow limit is decided apart: it never stops the others.
    public var isShadow: Bool
    /// Whether a denied request is charged to this limit as a penalty.
    public var countsDenied: Bool

    public init(
        _ numbers: LimitNumbers,
        key: Key,
        cost: Int64 = 1,
        required: Int64 = 0,
        isShadow: Bool = false,
        countsDenied: Bool = false
    ) {
        self.numbers = numbers
        self.key = key
        self.cost = min(max(cost, 0), Rate.largestCount)
        self.required = min(max(self.cost, required), Rate.largestCount)
        self.isShadow = isShadow
        self.countsDenied = countsDenied
    }
}

/// A change to a key's state outside a decision.
public enum Adjustment: Sendable, Hashable {
    /// Gives back what a charge took, proven by its decision's receipt: once, never above capacity, nothing after a reset or the
    /// window's end. For concurrency it frees the permit.
    case refund(Charge, Receipt)
    /// Charges after the fact, into debt of at most one capacity.
    case debit(Charge)
    /// Forgets the key. Its earlier receipts are void.
    case reset(LimitNumbers, Key)
}

/// Where counters live.
///
/// All charges of one call are decided together at one time: all are charged, or none is.
/// Shadow charges are charged iff they and all others allow.
///
/// A store answers at once (memory), or later (a server somewhere); see ``StoreAnswer``.
public protocol Store: Sendable {
    /// Makes the keys of this store.
    var keyHasher: KeyHasher { get }

    /// Decides one charge.
    func decide(_ charge: Charge) -> StoreAnswer<Decision>

    /// Decides several charges together, in the order given.
    ///
    /// - Parameter decisions: receives one decision for each charge when the store answers at once;
    ///   what it held before is removed. Reusing one array saves an allocation for each request.
    /// - Returns: nil when `decisions` holds the answer, else a promise of it.
    func decide(_ charges: [Charge], into decisions: inout [Decision]) -> PendingAnswer<[Decision]>?

    /// Applies a change; the answer says whether anything was changed.
    func apply(_ adjustment: Adjustment) -> StoreAnswer<Bool>
}

/// An answer now, or a promise of one.
///
/// The memory store always answers at once: no task, no thread hop, no allocation.
public enum StoreAnswer<Value: Sendable>: Sendable {
    case decided(Value)
    case pending(PendingAnswer<Value>)

    /// The answer, waited for if need be.
    public var value: Value {
        get async {
            switch self {
            case .decided(let value): value
            case .pending(let pending): await pending.value
            }
        }
    }
}

extension Store {
    public func decide(_ charge: Charge) -> StoreAnswer<Decision> {
        var decisions: [Decision] = []
        guard let pending = decide([charge], into: &decisions) else { return .decided(decisions[0]) }
        let first = PendingAnswer<Decision>()
        pending.whenComplete { first.complete($0[0]) }
        return .pending(first)
    }
}
