/// A bucket of `burst` tokens, refilled continuously at n per period.
///
/// This is the generic cell rate algorithm (ITU-T I.371). The state is the instant at which the bucket will be full
/// again. The distance to that instant is what has been used, so a refill takes no work.
///
/// Admits ≤ burst + rate × Δ over any Δ. If burst ≥ n, a client that stays within n in every period is never denied.
struct TokenBucket: LimitAlgorithm {
    static var fresh: ArrivalTime { .fresh }

    private let count: Int64
    // No sum below can overflow: with counts up to 10^9, debts up to 10^11 and periods up to 366 days, all stay below
    // 2^86.

    /// The worth of one token, in units of 1/n tick.
    private let token: Int64
    /// The worth of a full bucket, in units of 1/n tick.
    private let full: Int128
    private let burst: Int64
    private let mostDebt: Int64

    @inline(__always)
    init(_ numbers: LimitNumbers) {
        count = numbers.count
        burst = numbers.burst
        mostDebt = numbers.mostDebt
        token = numbers.period
        full = Int128(numbers.burst, times: numbers.period)
    }

    @inline(__always)
    func settle(_ state: inout ArrivalTime, at now: Timestamp) {
        state.convert(to: count)
        if state.isInDebt { return settleDebt(&state, at: now) }
        // Further ahead than this is only what was written before the clock went back.
        let most = full &+ full
        if state.ahead(of: now) > most { state.set(ahead: most, of: now) }
    }

    /// Debt may lie further ahead of the clock than anything else. It is over once the bucket isn't overdrawn.
    private func settleDebt(_ state: inout ArrivalTime, at now: Timestamp) {
        let ahead = state.ahead(of: now)
        if ahead > mostAhead { state.set(ahead: mostAhead, of: now) }
        state.isInDebt = ahead > full
    }

    /// The capacity and the most debt, in units of 1/n tick.
    private var mostAhead: Int128 { full &+ Int128(mostDebt, times: token) }

    @inline(__always)
    func admission(_ state: ArrivalTime, at now: Timestamp, cost: Int64) -> Admission {
        let missing = state.ahead(of: now) &+ Int128(cost, times: token) &- full
        if missing <= 0 { return .allowed(delay: 0) }
        if cost > burst { return .denied(retryAfter: nil) }
        return .denied(retryAfter: missing.dividedRoundingUp(by: count))
    }

    @inline(__always)
    func charge(_ state: inout ArrivalTime, at now: Timestamp, cost: Int64, sequence: UInt64) {
        state.set(ahead: state.ahead(of: now) &+ Int128(cost, times: token), of: now)
    }

    @inline(__always)
    func penalize(_ state: inout ArrivalTime, at now: Timestamp, cost: Int64) {
        add(cost, to: &state, at: now, upTo: full)
    }

    @inline(__always)
    func debit(_ state: inout ArrivalTime, at now: Timestamp, cost: Int64) {
        add(cost, to: &state, at: now, upTo: mostAhead)
        state.isInDebt = state.ahead(of: now) > full
    }

    @inline(__always)
    func refund(_ state: inout ArrivalTime, at now: Timestamp, cost: Int64, receipt: Receipt) -> Bool {
        // Time has given back some of the charge already.
        let restored = Int128(max(0, now - receipt.time), times: count)
        return credit(Int128(cost, times: token) &- restored, to: &state, at: now)
    }

    @inline(__always)
    func credit(_ state: inout ArrivalTime, at now: Timestamp, cost: Int64) -> Bool {
        credit(Int128(cost, times: token), to: &state, at: now)
    }

    @inline(__always)
    private func credit(_ worth: Int128, to state: inout ArrivalTime, at now: Timestamp) -> Bool {
        let used = state.ahead(of: now)
        guard used > 0, worth > 0 else { return false }
        state.set(ahead: max(0, used &- worth), of: now)
        return true
    }

    @inline(__always)
    func standing(_ state: ArrivalTime, at now: Timestamp) -> Standing {
        let used = state.ahead(of: now)
        return Standing(
            // ⌊(full − used) ÷ token⌋, computed from the smaller number: usually little is used.
            remaining: max(0, burst &- Int64(truncatingIfNeeded: used.dividedRoundingUp(by: token))),
            resetAfter: used.dividedRoundingUp(by: count)
        )
    }

    @inline(__always)
    private func add(_ cost: Int64, to state: inout ArrivalTime, at now: Timestamp, upTo most: Int128) {
        let used = state.ahead(of: now)
        let after = min(used &+ Int128(cost, times: token), most)
        // Leave the instant alone when nothing is charged. Rewriting it would put it in the future if the clock goes
        // back.
        if after > used { state.set(ahead: after, of: now) }
    }
}
