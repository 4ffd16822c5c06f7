/// A bucket of `burst` tokens, refilled continuously at n for each period.
///
/// The generic cell rate algorithm (ITU-T I.371): the state is the instant at which the bucket
/// will be full again. What is used is how far that instant lies ahead, so a refill costs nothing.
///
/// Admitted ≤ burst + rate × Δ over any Δ. A client that keeps to n in every period is never
/// refused if burst ≥ n.
struct TokenBucket: LimitAlgorithm {
    static var fresh: ArrivalTime { .fresh }

    private let count: Int64
    // None of the sums below can overflow: with counts up to 10^9 and periods up to 366 days, all stay below 2^83.

    /// What one token is worth, in units of 1/n tick.
    private let token: Int64
    /// What all tokens are worth.
    private let full: Int128
    private let burst: Int64

    @inline(__always)
    init(_ numbers: LimitNumbers) {
        count = numbers.count
        burst = numbers.burst
        token = numbers.period
        full = Int128(numbers.burst, times: numbers.period)
    }

    @inline(__always)
    func settle(_ state: inout ArrivalTime, at now: Timestamp) {
        state.convert(to: count)
        // Capacity and debt are all that a key can have used.
        let most = full &+ full
        if state.ahead(of: now) > most { state.set(ahead: most, of: now) }
    }

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
        add(cost, to: &state, at: now, upTo: full &+ full)
    }

    @inline(__always)
    func refund(_ state: inout ArrivalTime, at now: Timestamp, cost: Int64, receipt: Receipt) -> Bool {
        let used = state.ahead(of: now)
        guard used > 0 else { return false }
        state.set(ahead: max(0, used &- Int128(cost, times: token)), of: now)
        return true
    }

    @inline(__always)
    func standing(_ state: ArrivalTime, at now: Timestamp) -> Standing {
        let used = state.ahead(of: now)
        return Standing(
            // ⌊(full − used) ÷ token⌋, by the smaller number: what was used is mostly little.
            remaining: max(0, burst &- Int64(truncatingIfNeeded: used.dividedRoundingUp(by: token))),
            resetAfter: used.dividedRoundingUp(by: count)
        )
    }

    @inline(__always)
    private func add(_ cost: Int64, to state: inout ArrivalTime, at now: Timestamp, upTo most: Int128) {
        let used = state.ahead(of: now)
        let after = min(used &+ Int128(cost, times: token), most)
        // What isn't charged leaves the instant where it was, else it would lie ahead if the clock went back.
        if after > used { state.set(ahead: after, of: now) }
    }
}
