/// Windows of one period each. ≤ n in each window, so ≤ 2n in any period across a window's end.
///
/// Windows begin at multiples of the period since the Unix epoch, or at the key's first charged request.
struct FixedWindow: LimitAlgorithm {
    struct State: Equatable {
        /// When the window ends; 0 for a key that was never seen.
        var end: Timestamp
        /// What was charged in it: at most 2n, debt included.
        var used: Int64
    }

    static var fresh: State { State(end: 0, used: 0) }

    private let count: Int64
    private let period: Timestamp
    private let alignment: WindowAlignment

    init(_ numbers: LimitNumbers) {
        count = numbers.count
        period = numbers.period
        alignment = numbers.alignment
    }

    /// Where the window that holds `now` ends, when windows are counted from the epoch.
    static func end(of now: Timestamp, period: Timestamp) -> Timestamp {
        now - now % period + period
    }

    func settle(_ state: inout State, at now: Timestamp) {
        if state.end <= now {
            state = Self.fresh
        } else {
            // A window that hasn't begun yet was written before the clock went back: what was used
            // in it counts now, and no longer than one period.
            state.end = min(state.end, windowEnd(at: now))
        }
    }

    func admission(_ state: State, at now: Timestamp, cost: Int64) -> Admission {
        if state.used + cost <= count { return .allowed(delay: 0) }
        if cost > count { return .denied(retryAfter: nil) }
        return .denied(retryAfter: Ticks(state.end - now))
    }

    func charge(_ state: inout State, at now: Timestamp, cost: Int64, sequence: UInt64) {
        add(cost, to: &state, at: now, upTo: 2 * count)
    }

    func penalize(_ state: inout State, at now: Timestamp, cost: Int64) {
        add(cost, to: &state, at: now, upTo: count)
    }

    func debit(_ state: inout State, at now: Timestamp, cost: Int64) {
        add(cost, to: &state, at: now, upTo: 2 * count)
    }

    func refund(_ state: inout State, at now: Timestamp, cost: Int64, receipt: Receipt) -> Bool {
        guard state.used > 0, receipt.time < state.end, receipt.time >= state.end - period else { return false }
        state.used = max(0, state.used - cost)
        // Nothing is left of the request that began the window.
        if state.used == 0 { state = Self.fresh }
        return true
    }

    func standing(_ state: State, at now: Timestamp) -> Standing {
        Standing(
            remaining: max(0, count - state.used),
            resetAfter: state.used > 0 ? Ticks(state.end - now) : 0
        )
    }

    private func windowEnd(at now: Timestamp) -> Timestamp {
        alignment.startsAtFirstRequest ? now + period : Self.end(of: now, period: period)
    }

    private func add(_ cost: Int64, to state: inout State, at now: Timestamp, upTo most: Int64) {
        guard cost > 0 else { return }
        if state.end == 0 { state.end = windowEnd(at: now) }
        state.used = max(state.used, min(state.used + cost, most))
    }
}
