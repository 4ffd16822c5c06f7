/// The result of spending a key's budget with a ``Limiter`` or a ``SharedLimiter``.
public struct Attempt: Sendable, Hashable {
    /// Proof of what an attempt spent, with which it can be given back once.
    public struct Receipt: Sendable, Hashable {
        let key: Key
        let cost: Int64
        let charge: Weir.Receipt
        /// The key in the line of those that wait to acquire.
        let line: UInt64
    }

    /// The limit's decision, and its state after it.
    public let decision: Decision
    private let key: Key
    private let cost: Int64
    private let line: UInt64

    @inline(__always)
    init(_ decision: Decision, key: Key, cost: Int64, line: UInt64) {
        self.decision = decision
        self.key = key
        self.cost = cost
        self.line = line
    }

    /// Whether the budget was spent.
    public var isAllowed: Bool { decision.isAllowed }

    /// The number of units that the key has left; at least 0.
    public var remaining: Int64 { decision.remaining }

    /// The shortest wait after which the same attempt would succeed if no others are made. Nil when it succeeded, and
    /// when waiting can't help.
    public var retryAfter: Duration? { decision.retryAfter }

    /// How long a leaky bucket delays what was asked for; zero for other algorithms.
    public var delay: Duration { decision.delay }

    /// The receipt that gives back what was spent; nil when nothing was.
    public var receipt: Receipt? { decision.receipt.map { Receipt(key: key, cost: cost, charge: $0, line: line) } }
}
