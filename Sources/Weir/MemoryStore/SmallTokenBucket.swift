/// A token bucket's decision in 64-bit arithmetic, for the numbers and states that fit, which are nearly all.
///
/// It does the work of ``TokenBucket`` and ``Conclude`` together, and a test compares the results. Unusual charges and
/// states are left to those two: large numbers, a cost above the capacity, changed numbers, debt and penalties.
///
/// Unlike the other algorithms, it may be given times out of order, from threads that read the clock before they wait
/// for the lock. Each charge only advances the arrival time by its cost, starting no earlier than the charge's own
/// time. So the charges admitted at times within any Δ still add up to at most burst + rate × Δ.
struct SmallTokenBucket {
    private let numbers: LimitNumbers
    private let cost: Int64

    /// - Returns: nil when the charge is unusual.
    @inline(__always)
    init?(_ numbers: LimitNumbers, cost: Int64) {
        guard numbers.smallCapacity >= 0, cost >= 0, cost <= numbers.burst else { return nil }
        self.numbers = numbers
        self.cost = cost
    }

    /// Decides and charges. Returns nil, with nothing changed, when the state is unusual.
    @inline(__always)
    func decide(_ cell: inout Cell, at now: Timestamp, sequence: UInt64) -> Decision? {
        var state = ArrivalTime.load(from: cell, nil)
        let full = numbers.smallCapacity
        guard cell.shape == .arrival, state.perTick == numbers.count, !state.isInDebt else { return nil }
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
            isAllowed: isAllowed,
            quota: numbers.count,
            remaining: numbers.burst &- numbers.dividedByPeriod.dividingRoundingUp(used),
            resetTicks: Ticks(truncatingIfNeeded: numbers.dividedByCount.dividingRoundingUp(used)),
            retryTicks: isAllowed
                ? nil : Ticks(truncatingIfNeeded: numbers.dividedByCount.dividingRoundingUp(after &- full)),
            timestamp: now,
            charged: isAllowed && cost > 0 ? sequence : nil
        )
    }
}
