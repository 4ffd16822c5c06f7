/// A store's decision about one limit, and the limit's state after it.
public struct Decision: Sendable, Hashable {
    /// Whether this limit lets the request pass.
    public var allowed: Bool
    /// The limit's count, n.
    public var limit: Int64
    /// The number of requests of cost 1 that would pass now; at least 0.
    public var remaining: Int64
    // Store spans without an optional's tag, which would make a decision half as large again.
    private var resetTicks: Ticks
    private var retryTicks: Ticks
    /// How long a leaky bucket delays the request, in microseconds; 0 for other algorithms.
    public var delay: Timestamp
    /// When the decision was made, by the store's clock.
    public var time: Timestamp
    private var sequence: UInt64

    private static let none: Ticks = -1

    /// Creates a decision.
    ///
    /// - Parameters:
    ///   - allowed: whether the limit lets the request pass.
    ///   - limit: the limit's count.
    ///   - remaining: the number of requests of cost 1 that would pass now.
    ///   - resetAfter: ticks until the full quota is back.
    ///   - retryAfter: ticks until the same request would pass.
    ///   - delay: microseconds by which a leaky bucket delays the request.
    ///   - time: when the decision was made, by the store's clock.
    ///   - sequence: the charge's sequence, above 0; nil when nothing was charged.
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

    /// Time until the full quota is available again if no more requests arrive, rounded up to a tick.
    ///
    /// That is the window's end for a fixed window, a full bucket for a bucket, an empty log or window for the sliding
    /// algorithms, and 0 if nothing is used. Nil for concurrency, which time alone never resets.
    public var resetAfter: Ticks? {
        get { resetTicks == Self.none ? nil : resetTicks }
        set { resetTicks = newValue ?? Self.none }
    }

    /// The shortest wait after which this same request would be allowed if no others arrive, rounded up to a tick. Nil
    /// when it is allowed, and when waiting can't help.
    public var retryAfter: Ticks? {
        get { retryTicks == Self.none ? nil : retryTicks }
        set { retryTicks = newValue ?? Self.none }
    }

    /// The decision of a limit that wasn't asked because another limit of the request was known to deny it.
    package static let unasked = Decision(allowed: true, limit: -1, remaining: 0, resetAfter: nil)

    package var isUnasked: Bool { limit < 0 }

    /// Moves the decision `passed` microseconds ahead, assuming that nothing else was charged.
    package mutating func age(by passed: Timestamp) {
        time += passed
        if resetTicks != Self.none { resetTicks = max(0, resetTicks - Ticks(passed)) }
        if retryTicks != Self.none { retryTicks = max(1, retryTicks - Ticks(passed)) }
    }

    /// The decision about a later charge, `passed` microseconds on, with `more` units available.
    ///
    /// - Parameter sequence: the later charge's sequence, above 0; 0 when nothing is charged.
    package func later(by passed: Timestamp, remaining more: Int64, charged sequence: UInt64) -> Decision {
        var decision = self
        decision.age(by: passed)
        decision.remaining += more
        decision.sequence = sequence
        return decision
    }

    /// Removes the receipt, after the charge was given back.
    package mutating func dropReceipt() { sequence = 0 }

    /// The receipt that gives the charge back; nil when nothing was charged.
    public var receipt: Receipt? {
        sequence == 0 ? nil : Receipt(time: time, delay: delay, sequence: sequence)
    }
}

extension Decision {
    /// Selects which of several decisions about one request to report.
    ///
    /// If some deny, it is the one with the longest `retryAfter`, where nil is longest. If all allow, it is the one
    /// with the smallest `remaining` ÷ n. Ties go to the first.
    ///
    /// - Returns: an index, or nil when `decisions` is empty.
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
