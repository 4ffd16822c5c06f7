/// A log of the costs admitted in the last period. An entry made at s stops counting at s + P.
///
/// Admits ≤ n in any period, exactly. Memory grows with n: 16 bytes for each instant at which a request was admitted.
struct SlidingLog: LimitAlgorithm {
    struct Entry: Equatable, Codable {
        var time: Timestamp
        var cost: Int64
    }

    struct State: Equatable, Codable {
        /// The entries, oldest first, at strictly rising times. Entries before `first` have expired.
        var entries: [Entry] = []
        var first = 0
        /// The sum of the costs that still count.
        var used: Int64 = 0
        /// When the last entry stops counting.
        var expires: Timestamp = 0

        var live: ArraySlice<Entry> { entries[first...] }

        mutating func append(_ cost: Int64, at now: Timestamp, for period: Timestamp) {
            used += cost
            expires = now + period
            if first < entries.count, entries[entries.count - 1].time == now {
                entries[entries.count - 1].cost += cost
            } else {
                entries.append(Entry(time: now, cost: cost))
            }
        }

        /// Removes expired entries. Moves the rest only when half of the array has expired.
        mutating func dropExpired(before start: Timestamp) {
            while first < entries.count, entries[first].time <= start {
                used -= entries[first].cost
                first += 1
            }
            if first == entries.count {
                entries.removeAll(keepingCapacity: entries.capacity <= 64)
                first = 0
            } else if first > 16, first > entries.count / 2 {
                // Allocate a new array so that the memory of a burst is freed once the burst has passed.
                entries = Array(entries[first...])
                first = 0
            }
        }
    }

    static var fresh: State { State() }

    private let count: Int64
    private let period: Timestamp

    init(_ numbers: LimitNumbers) {
        count = numbers.count
        period = numbers.period
    }

    func settle(_ state: inout State, at now: Timestamp) {
        if let last = state.live.last, last.time > now { pullBack(&state, to: now) }
        state.dropExpired(before: now - period)
    }

    func admission(_ state: State, at now: Timestamp, cost: Int64) -> Admission {
        if state.used + cost <= count { return .allowed(delay: 0) }
        if cost > count { return .denied(retryAfter: nil) }
        var excess = state.used + cost - count
        for entry in state.live {
            excess -= entry.cost
            if excess <= 0 { return .denied(retryAfter: Ticks(entry.time + period - now)) }
        }
        return .denied(retryAfter: nil)
    }

    func charge(_ state: inout State, at now: Timestamp, cost: Int64, sequence: UInt64) {
        add(cost, to: &state, at: now)
    }

    func penalize(_ state: inout State, at now: Timestamp, cost: Int64) {
        add(min(cost, count - state.used), to: &state, at: now)
    }

    func debit(_ state: inout State, at now: Timestamp, cost: Int64) {
        add(cost, to: &state, at: now)
    }

    func refund(_ state: inout State, at now: Timestamp, cost: Int64, receipt: Receipt) -> Bool {
        guard let index = state.live.firstIndex(where: { $0.time == receipt.time }) else { return false }
        let back = min(cost, state.entries[index].cost)
        state.entries[index].cost -= back
        state.used -= back
        if state.entries[index].cost == 0 { state.entries.remove(at: index) }
        return true
    }

    /// Gives back what was charged last, first.
    func credit(_ state: inout State, at now: Timestamp, cost: Int64) -> Bool {
        guard state.used > 0, cost > 0 else { return false }
        var left = cost
        while left > 0, let last = state.live.last {
            let back = min(left, last.cost)
            left -= back
            state.used -= back
            if back == last.cost {
                state.entries.removeLast()
            } else {
                state.entries[state.entries.count - 1].cost -= back
            }
        }
        state.expires = state.live.last.map { $0.time + period } ?? 0
        return true
    }

    func standing(_ state: State, at now: Timestamp) -> Standing {
        Standing(
            remaining: max(0, count - state.used),
            resetAfter: state.live.last.map { Ticks($0.time + period - now) } ?? 0
        )
    }

    /// Adds to the entry of this instant, up to twice the count: more makes no difference.
    private func add(_ cost: Int64, to state: inout State, at now: Timestamp) {
        let present = state.live.last.map { $0.time == now ? $0.cost : 0 } ?? 0
        let added = min(cost, max(0, 2 * count - present))
        if added > 0 { state.append(added, at: now, for: period) }
    }

    /// Makes entries in the future count from `now`, as one entry, after the clock went back.
    private func pullBack(_ state: inout State, to now: Timestamp) {
        var ahead: Int64 = 0
        while let last = state.live.last, last.time > now {
            ahead += last.cost
            state.entries.removeLast()
        }
        state.used -= ahead
        state.append(ahead, at: now, for: period)
    }
}
