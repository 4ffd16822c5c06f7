/// A question to a store: one limit and one key. A plain value, so that a script, a batch or a test double can execute
/// it.
///
/// A store reads its ``key``, and lets ``KeyState`` decide it.
public struct Charge: Sendable, Hashable {
    /// The limit's algorithm and numeric parameters.
    package var numbers: LimitNumbers
    /// The key whose budget is spent.
    public var key: Key
    /// The units to spend, 0 to 10^9; 0 is a peek, which changes nothing.
    package var cost: Int64
    /// The units that must be available for the request to pass, from `cost` to 10^9. It exceeds `cost` when the rest
    /// of a request's cost is known only after its response.
    package var required: Int64
    /// Whether the limit is in shadow mode: it is decided, but never stops the request.
    package var isShadow: Bool
    /// Whether a denied request is charged to this limit as a penalty.
    package var countsDenied: Bool
    /// Whether a shared store may decide with units that this instance has prefetched. Only for algorithms that
    /// `Algorithm.canBeLeased`; ignored otherwise.
    package var isLeased: Bool

    /// Whether the units are held instead of charged, until the request's actual cost is known. Held units count
    /// against the limit and don't drain. ``Adjustment/settle(_:_:actual:)`` ends the hold.
    package var isHold: Bool
    /// Whether other requests may hold units of this limit. A shared store looks for them only then.
    package var countsHolds: Bool

    /// Creates a charge. Costs out of range are clamped.
    ///
    /// - Parameters:
    ///   - numbers: the limit's algorithm and numeric parameters.
    ///   - key: the key whose budget is spent.
    ///   - cost: the units to spend, 0 to 10^9.
    ///   - required: the units that must be available; at least `cost` is required in any case.
    ///   - isShadow: whether the limit is in shadow mode.
    ///   - countsDenied: whether a denied request is charged as a penalty.
    ///   - isLeased: whether a shared store may decide with prefetched units.
    ///   - isHold: whether the units are held instead of charged. Ignored for concurrency, whose units are permits.
    ///   - countsHolds: whether other requests may hold units of this limit; implied by `isHold`.
    package init(
        _ numbers: LimitNumbers,
        key: Key,
        cost: Int64 = 1,
        required: Int64 = 0,
        isShadow: Bool = false,
        countsDenied: Bool = false,
        isLeased: Bool = false,
        isHold: Bool = false,
        countsHolds: Bool = false
    ) {
        self.numbers = numbers
        self.key = key
        self.cost = min(max(cost, 0), Rate.maximumCount)
        self.required = min(max(self.cost, required), Rate.maximumCount)
        self.isShadow = isShadow
        self.countsDenied = countsDenied
        self.isLeased = isLeased
        self.isHold = isHold && !numbers.algorithm.kind.holdsPermits
        self.countsHolds = (isHold || countsHolds) && !numbers.algorithm.kind.holdsPermits
    }
}
