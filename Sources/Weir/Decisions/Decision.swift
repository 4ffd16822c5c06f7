/// A store's decision about one limit, and the limit's state after it.
public struct Decision: Sendable, Hashable {
    /// Whether this limit lets the request pass.
    public package(set) var isAllowed: Bool
    /// The limit's count, n: its number of units.
    public package(set) var quota: Int64
    /// The number of requests of cost 1 that would pass now; at least 0.
    public package(set) var remaining: Int64
    // Store spans without an optional's tag, which would make a decision half as large again.
    private var storedReset: Ticks
    private var storedRetry: Ticks
    /// ``delay`` in microseconds.
    package var delayTicks: Timestamp
    /// ``time`` in microseconds since the Unix epoch.
    package var timestamp: Timestamp
    private var sequence: UInt64

    private static let none: Ticks = -1

    /// - Parameters:
    ///   - isAllowed: whether the limit lets the request pass.
    ///   - quota: the limit's count.
    ///   - remaining: the number of requests of cost 1 that would pass now.
    ///   - resetTicks: ticks until the full quota is back.
    ///   - retryTicks: ticks until the same request would pass.
    ///   - delayTicks: ticks by which a leaky bucket delays the request.
    ///   - timestamp: when the decision was made, by the store's clock.
    ///   - sequence: the charge's sequence, above 0; nil when nothing was charged.
    package init(
        isAllowed: Bool,
        quota: Int64,
        remaining: Int64,
        resetTicks: Ticks?,
        retryTicks: Ticks? = nil,
        delayTicks: Timestamp = 0,
        timestamp: Timestamp = 0,
        charged sequence: UInt64? = nil
    ) {
        self.isAllowed = isAllowed
        self.quota = quota
        self.remaining = remaining
        self.storedReset = resetTicks ?? Self.none
        self.storedRetry = retryTicks ?? Self.none
        self.delayTicks = delayTicks
        self.timestamp = timestamp
        self.sequence = sequence ?? 0
    }

    /// How long a leaky bucket delays the request; zero for other algorithms.
    public var delay: Duration { Duration(ticks: Ticks(delayTicks)) }

    /// When the decision was made, by the store's clock.
    public var time: Instant { Instant(microseconds: timestamp) }

    /// Time until the full quota is available again if no more requests arrive, rounded up to a tick.
    ///
    /// That is the window's end for a fixed window, a full bucket for a bucket, an empty log or window for the sliding
    /// algorithms, and 0 if nothing is used. Nil for concurrency, which time alone never resets.
    public var resetAfter: Duration? { resetTicks.map(Duration.init(ticks:)) }

    /// ``resetAfter`` in microseconds.
    package var resetTicks: Ticks? {
        get { storedReset == Self.none ? nil : storedReset }
        set { storedReset = newValue ?? Self.none }
    }

    /// The shortest wait after which this same request would be allowed if no others arrive, rounded up to a tick. Nil
    /// when it is allowed, and when waiting can't help.
    public var retryAfter: Duration? { retryTicks.map(Duration.init(ticks:)) }

    /// ``retryAfter`` in microseconds.
    package var retryTicks: Ticks? {
        get { storedRetry == Self.none ? nil : storedRetry }
        set { storedRetry = newValue ?? Self.none }
    }

    /// The decision of a limit that wasn't asked because another limit of the request was known to deny it.
    package static let unasked = Decision(isAllowed: true, quota: -1, remaining: 0, resetTicks: nil)

    package var isUnasked: Bool { quota < 0 }

    /// Moves the decision `passed` microseconds ahead, assuming that nothing else was charged.
    package mutating func age(by passed: Timestamp) {
        timestamp += passed
        if storedReset != Self.none { storedReset = max(0, storedReset - Ticks(passed)) }
        if storedRetry != Self.none { storedRetry = max(1, storedRetry - Ticks(passed)) }
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
    package var receipt: Receipt? {
        sequence == 0 ? nil : Receipt(time: timestamp, delay: delayTicks, sequence: sequence)
    }
}

extension Decision {
    /// Selects which of several decisions about one request to report.
    ///
    /// If some deny, it is the one with the longest ``retryAfter``, where nil is longest. If all allow, it is the one
    /// with the smallest ``remaining`` ÷ n. Ties go to the first.
    ///
    /// - Returns: an index, or nil when `decisions` is empty.
    package static func reported(of decisions: some Collection<Decision>) -> Int? {
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
        if isAllowed != other.isAllowed { return !isAllowed }
        if isAllowed {
            return Int128(remaining) * Int128(other.quota) < Int128(other.remaining) * Int128(quota)
        }
        guard let theirs = other.retryTicks else { return false }
        guard let ours = retryTicks else { return true }
        return ours > theirs
    }
}
