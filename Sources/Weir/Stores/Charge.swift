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
