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
    /// Whether a shared store may decide by units that this instance has borrowed. Only for token buckets and windows that
    /// are counted (fixed, sliding); elsewhere it means nothing.
    public var isLeased: Bool

    public init(
        _ numbers: LimitNumbers,
        key: Key,
        cost: Int64 = 1,
        required: Int64 = 0,
        isShadow: Bool = false,
        countsDenied: Bool = false,
        isLeased: Bool = false
    ) {
        self.numbers = numbers
        self.key = key
        self.cost = min(max(cost, 0), Rate.largestCount)
        self.required = min(max(self.cost, required), Rate.largestCount)
        self.isShadow = isShadow
        self.countsDenied = countsDenied
        self.isLeased = isLeased
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

/// Why a store gave no decision. Nothing that it says holds a secret.
public struct StoreFailure: Error, Sendable, Hashable, CustomStringConvertible {
    /// A short name, safe as a label of a metric.
    public struct Code: RawRepresentable, Sendable, Hashable {
        public let rawValue: String
        public init(rawValue: String) { self.rawValue = rawValue }

        /// No answer came in time. What was asked may have been done; a charge that shows later is given back.
        public static let deadline = Code(rawValue: "deadline")
        /// The store is not there, or was found not to answer a moment ago.
        public static let unavailable = Code(rawValue: "unavailable")
        /// Too much waits for it already.
        public static let overloaded = Code(rawValue: "overloaded")
        /// It answered that it won't: it is read-only, full, or this user may not.
        public static let refused = Code(rawValue: "refused")
    }

    public let code: Code
    public let description: String

    public init(_ code: Code, _ description: String) {
        self.code = code
        self.description = description
    }
}

/// The decisions about one request, or why there are none.
public typealias DecisionResult = Result<[Decision], StoreFailure>

/// Where counters live.
///
/// All charges of one call are decided together at one time: all are charged, or none is.
/// Shadow charges are charged iff they and all others allow.
///
/// A store answers at once (memory), or later (a server somewhere); see ``StoreAnswer``.
public protocol Store: Sendable {
    /// Makes the keys of this store.
    var keyHasher: KeyHasher { get }

    /// How many instances share this store now, as far as is known; at least 1.
    var instances: Int { get }

    /// Decides several charges together, in the order given.
    ///
    /// - Parameters:
    ///   - charges: of one request: all of them are charged, or none.
    ///   - decisions: receives one decision for each charge when the store answers at once; what it held before is removed.
    ///     Reusing one array saves an allocation for each request.
    /// - Returns: nil when `decisions` holds the answer, else a promise of it.
    func decide(_ charges: [Charge], into decisions: inout [Decision]) -> PendingAnswer<DecisionResult>?

    /// Applies a change; the answer says whether anything was changed.
    func apply(_ adjustment: Adjustment) -> StoreAnswer<Bool>

    /// Other limits are in force: what a store remembers of the decisions before is to be forgotten.
    func limitsDidChange()
}

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

extension Store {
    public var instances: Int { 1 }

    public func limitsDidChange() {}

    /// Decides several charges together, and waits for the answer if need be.
    public func decide(_ charges: [Charge]) async throws(StoreFailure) -> [Decision] {
        var decisions: [Decision] = []
        guard let pending = decide(charges, into: &decisions) else { return decisions }
        return try await pending.value.get()
    }
}
