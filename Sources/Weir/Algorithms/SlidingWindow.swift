/// Two fixed windows since the Unix epoch. The previous one counts in proportion to its overlap with the last period:
/// estimate = previous × (P − elapsed) / P + current, as an exact fraction. Cloudflare described this estimate in 2017.
///
/// Admits < 2n in any period. Smooth, but may deny a client that never exceeded n.
struct SlidingWindow: LimitAlgorithm {
    struct State: Equatable, Codable {
        /// When both windows have passed: one period after the current window's end; 0 for an unused key.
        var expires: Timestamp
        var current: Int64
        /// The units charged in the previous window. At most one capacity of them counts: debt ends with its window.
        var previous: Int64
    }

    static var fresh: State { State(expires: 0, current: 0, previous: 0) }

    private let count: Int64
    private let period: Timestamp

    init(_ numbers: LimitNumbers) {
        count = numbers.count
        period = numbers.period
    }

    func settle(_ state: inout State, at now: Timestamp) {
        let expires = FixedWindow.end(of: now, period: period) + period
        if state.expires == expires { return }
        if state.expires > expires {
            // The clock went back. Nobody knows how much of `previous` had expired, so all of it counts.
            state.current = max(state.current, min(state.current + counted(state), 2 * count))
            state.previous = 0
        } else {
            state.previous = state.expires == expires - period ? state.current : 0
            state.current = 0
        }
        state.expires = expires
    }

    func admission(_ state: State, at now: Timestamp, cost: Int64) -> Admission {
        let free = count - state.current - cost
        if scaledPrevious(state, at: now) <= Int128(free) * Int128(period) { return .allowed(delay: 0) }
        if cost > count { return .denied(retryAfter: nil) }
        if free >= 0 {
            let elapsed = overlapFits(counted(state), in: free)
            return .denied(retryAfter: Ticks(elapsed - (period - untilEnd(state, at: now))))
        }
        // The request no longer fits in this window. In the next one, this window is the previous one.
        let elapsed = overlapFits(min(state.current, count), in: count - cost)
        return .denied(retryAfter: Ticks(untilEnd(state, at: now) + elapsed))
    }

    func charge(_ state: inout State, at now: Timestamp, cost: Int64, sequence: UInt64) {
        state.current = max(state.current, min(state.current + cost, 2 * count))
    }

    func penalize(_ state: inout State, at now: Timestamp, cost: Int64) {
        add(cost, to: &state, at: now, upTo: count)
    }

    func debit(_ state: inout State, at now: Timestamp, cost: Int64) {
        state.current = max(state.current, min(state.current + cost, 2 * count))
    }

    func refund(_ state: inout State, at now: Timestamp, cost: Int64, receipt: Receipt) -> Bool {
        let end = state.expires - period
        guard state.current > 0, receipt.time < end, receipt.time >= end - period else { return false }
        state.current = max(0, state.current - cost)
        return true
    }

    func credit(_ state: inout State, at now: Timestamp, cost: Int64) -> Bool {
        guard state.current > 0 || state.previous > 0, cost > 0 else { return false }
        // The rest is taken from the units that count in part.
        state.previous = max(0, counted(state) - max(0, cost - state.current))
        state.current = max(0, state.current - cost)
        return true
    }

    func standing(_ state: State, at now: Timestamp) -> Standing {
        let resetAfter: Timestamp
        if state.current > 0 {
            resetAfter = untilEnd(state, at: now) + period
        } else if state.previous > 0 {
            resetAfter = untilEnd(state, at: now)
        } else {
            resetAfter = 0
        }
        return Standing(remaining: max(0, free(state, at: now, of: count)), resetAfter: Ticks(resetAfter))
    }

    /// The units of the previous window that count under the current numbers.
    private func counted(_ state: State) -> Int64 { min(state.previous, count) }

    /// P − elapsed.
    private func untilEnd(_ state: State, at now: Timestamp) -> Timestamp {
        state.expires - period - now
    }

    /// previous × (P − elapsed): the previous window's share of the estimate, times P.
    private func scaledPrevious(_ state: State, at now: Timestamp) -> Int128 {
        Int128(counted(state)) * Int128(untilEnd(state, at: now))
    }

    /// The number of whole units that fit between the estimate and `most`.
    private func free(_ state: State, at now: Timestamp, of most: Int64) -> Int64 {
        let previous = scaledPrevious(state, at: now).dividedRoundingUp(by: period)
        return Int64(clamping: Int128(most - state.current) - previous)
    }

    /// The time from a window's start until `previous` units of the window before count as at most `free`.
    private func overlapFits(_ previous: Int64, in free: Int64) -> Timestamp {
        guard previous > free else { return 0 }
        let excess = Int128(previous - free) * Int128(period)
        return Timestamp(clamping: excess.dividedRoundingUp(by: previous))
    }

    private func add(_ cost: Int64, to state: inout State, at now: Timestamp, upTo most: Int64) {
        state.current += max(0, min(cost, free(state, at: now, of: most)))
    }
}
