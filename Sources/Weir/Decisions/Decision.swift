/// What a store decided about one limit, and the state after it.
public struct Decision: Sendable, Hashable {
    /// Whether this limit lets the request pass.
    public var allowed: Bool
    /// n: the limit's count.
    public var limit: Int64
    /// How many requests of cost 1 would pass now; at least 0.
    public var remaining: Int64
    // Wide spans are kept without an optional's tag, which would make a decision half as large again.
    private var resetTicks: Ticks
    private var retryTicks: Ticks
    /// How long a leaky bucket holds the request before it may go on, in microseconds.
    public var delay: Timestamp
    /// The store's time at which the decision was made.
    public var time: Timestamp
    private var sequence: UInt64

    private static let none: Ticks = -1

    public init(
        allowed: Bool,
        limit: Int64,
        remaining: Int64,
        resetAfter: Ticks?,
        retryAfter: Ticks? = nil,
        delay: Timestamp = 0,
        time: Timestamp = 0,
        charged sequence: UInt64? = nil
    ) {
        self.allowed = allowed
        self.limit = limit
        self.remaining = remaining
        self.resetTicks = resetAfter ?? Self.none
        self.retryTicks = retryAfter ?? Self.none
        self.delay = delay
        self.time = time
        self.sequence = sequence ?? 0
    }

    /// Until the full quota is back if nobody comes, rounded up to a tick: the window's end for a
    /// fixed window, full for a bucket, empty for a log or a sliding window, 0 if nothing is used.
    /// Nil for concurrency, which no amount of waiting is sure to reset.
    public var resetAfter: Ticks? {
        get { resetTicks == Self.none ? nil : resetTicks }
        set { resetTicks = newValue ?? Self.none }
    }

    /// The earliest wait after which this same request would be allowed if nobody else came,
    /// rounded up to a tick. Nil when allowed, and when waiting can't help.
    public var retryAfter: Ticks? {
        get { retryTicks == Self.none ? nil : retryTicks }
        set { retryTicks = newValue ?? Self.none }
    }

    /// What a store says of a limit that it didn't ask, because another of the request's was known to deny.
    package static let unasked = Decision(allowed: true, limit: -1, remaining: 0, resetAfter: nil)

    package var isUnasked: Bool { limit < 0 }

    /// What is left of it so many ticks later, if nothing has happened meanwhile.
    package mutating func age(by passed: Timestamp) {
        time += passed
        if resetTicks != Self.none { resetTicks = max(0, resetTicks - Ticks(passed)) }
        if retryTicks != Self.none { retryTicks = max(1, retryTicks - Ticks(passed)) }
    }

    /// The decision about another charge so many ticks later, when so many units more are there.
    ///
    /// - Parameter sequence: names that charge, above 0; 0 when nothing is charged.
    package func later(by passed: Timestamp, remaining more: Int64, charged sequence: UInt64) -> Decision {
        var decision = self
        decision.age(by: passed)
        decision.remaining += more
        decision.sequence = sequence
        return decision
    }

    /// The charge was given back.
    package mutating func dropReceipt() { sequence = 0 }

    /// By which the charge can be given back; nil when nothing was charged.
    public var receipt: Receipt? {
        sequence == 0 ? nil : Receipt(time: time, delay: delay, sequence: sequence)
    }
}

extension Decision {
    /// Which of several decisions about one request is the one to report: when some deny, the one
    /// with the longest `retryAfter` (nil is longest); when all allow, the one with the smallest
    /// `remaining` ÷ n. Ties go to the first.
    ///
    /// - Returns: an index, or nil when there is no decision.
    public static func reported(of decisions: some Collection<Decision>) -> Int? {
        var best: (index: Int, decision: Decision)?
        for (index, decision) in decisions.enumerated() {
            guard let current = best else {
                best = (index, decision)
                continue
            }
            if decision.isReported(before: current.decision) { best = (index, decision) }
        }
        return best?.index
    }

    package func isReported(before other: Decision) -> Bool {
        if allowed != other.allowed { return !allowed }
        if allowed {
            return Int128(remaining) * Int128(other.limit) < Int128(other.remaining) * Int128(limit)
        }
        guard let theirs = other.retryAfter else { return false }
        guard let ours = retryAfter else { return true }
        return ours > theirs
    }
}
