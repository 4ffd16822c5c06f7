/// A token bucket's decision in 64-bit arithmetic, for numbers and states that fit: nearly all do.
///
/// It is ``TokenBucket`` and ``Conclude`` in one, and a test holds it equal to them. Whatever is out of the ordinary
/// (large numbers, a cost above capacity, numbers that changed, debt, penalties) is left to those.
///
/// Unlike the other algorithms it may be given times out of order, as by threads that read the clock before they wait
/// for a lock: each charge only moves the arrival time on, by its cost, from no earlier than its own time; so what is
/// admitted at times within any Δ still adds up to at most burst + rate × Δ.
struct SmallTokenBucket {
    private let numbers: LimitNumbers
    private let cost: Int64

    /// - Returns: nil when the charge is out of the ordinary.
    @inline(__always)
    init?(_ numbers: LimitNumbers, cost: Int64) {
        guard numbers.smallCapacity >= 0, cost >= 0, cost <= numbers.burst else { return nil }
        self.numbers = numbers
        self.cost = cost
    }

    /// Decides and charges; nil, with nothing changed, when the state is out of the ordinary.
    @inline(__always)
    func decide(_ cell: inout Cell, at now: Timestamp, sequence: UInt64) -> Decision? {
        var state = ArrivalTime.load(from: cell, nil)
        let full = numbers.smallCapacity
        guard cell.shape == .arrival, state.perTick == numbers.count else { return nil }
        let ahead = state.scaled &- Int128(now, times: numbers.count)
        var used: Int64 = 0
        if ahead > 0 {
            guard ahead <= Int128(truncatingIfNeeded: full) else { return nil }
            used = Int64(truncatingIfNeeded: ahead)
        }
        // Both are at most `full`, which is below 2^62.
        let after = used &+ cost &* numbers.period
        let isAllowed = after <= full
        if isAllowed, cost > 0 {
            used = after
            state.set(ahead: Int128(truncatingIfNeeded: used), of: now)
            cell = state.save(over: nil, SegmentAnnex())
        }
        return Decision(
            allowed: isAllowed,
            limit: numbers.count,
            remaining: numbers.burst &- numbers.dividedByPeriod.dividingRoundingUp(used),
            resetAfter: Ticks(truncatingIfNeeded: numbers.dividedByCount.dividingRoundingUp(used)),
            retryAfter: isAllowed
                ? nil : Ticks(truncatingIfNeeded: numbers.dividedByCount.dividingRoundingUp(after &- full)),
            time: now,
            charged: isAllowed && cost > 0 ? sequence : nil
        )
    }
}
