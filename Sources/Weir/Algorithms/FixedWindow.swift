/// A counter per window of one period. Admits ≤ n in each window, and so ≤ 2n in any period that spans a window's end.
///
/// Windows begin at multiples of the period since the Unix epoch, or at the key's first charged request.
struct FixedWindow: LimitAlgorithm {
    struct State: Equatable, Codable {
        /// The end of the window; 0 for an unused key.
        var end: Timestamp
        /// The units charged in the window, debt included; at most 2n.
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

    /// The end of the window that contains `now`, for windows aligned to the Unix epoch.
    static func end(of now: Timestamp, period: Timestamp) -> Timestamp {
        now - now % period + period
    }

    func settle(_ state: inout State, at now: Timestamp) {
        if state.end <= now {
            state = Self.fresh
        } else {
            // A window in the future was written before the clock went back. Its units count now, for one period at
            // most.
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
        // The request that began the window has been refunded entirely.
        if state.used == 0 { state = Self.fresh }
        return true
    }

    func credit(_ state: inout State, at now: Timestamp, cost: Int64) -> Bool {
        guard state.used > 0, cost > 0 else { return false }
        state.used = max(0, state.used - cost)
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
