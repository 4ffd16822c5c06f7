/// An algorithm's state that a ``KeyState`` can keep.
protocol KeptState {
    /// Takes the state out; nil if it is of a different algorithm.
    init?(kept: KeyState.Kept)

    var kept: KeyState.Kept { get }
}

extension ArrivalTime: KeptState, Codable {
    init?(kept: KeyState.Kept) {
        guard case .arrival(let state) = kept else { return nil }
        self = state
    }

    var kept: KeyState.Kept { .arrival(self) }

    private enum CodingKeys: String, CodingKey {
        case low, high, perTick, isInDebt
    }

    // In two halves: not every encoder knows 128 bits.
    init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        let low = try values.decode(UInt64.self, forKey: .low)
        // A key's instant is below 2^85, and its count below 2^30.
        let high = try values.decode(UInt32.self, forKey: .high)
        let perTick = try values.decode(UInt32.self, forKey: .perTick)
        self.init(
            scaled: Int128(high & 0x1F_FFFF) << 64 | Int128(low), perTick: Int64(min(max(1, perTick), 1_000_000_000)),
            isInDebt: try values.decode(Bool.self, forKey: .isInDebt))
    }

    func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: CodingKeys.self)
        try values.encode(UInt64(truncatingIfNeeded: scaled), forKey: .low)
        try values.encode(UInt32(truncatingIfNeeded: scaled >> 64), forKey: .high)
        try values.encode(UInt32(clamping: perTick), forKey: .perTick)
        try values.encode(isInDebt, forKey: .isInDebt)
    }
}

extension FixedWindow.State: KeptState {
    init?(kept: KeyState.Kept) {
        guard case .fixedWindow(let state) = kept else { return nil }
        self = state
    }

    var kept: KeyState.Kept { .fixedWindow(self) }
}

extension SlidingWindow.State: KeptState {
    init?(kept: KeyState.Kept) {
        guard case .slidingWindow(let state) = kept else { return nil }
        self = state
    }

    var kept: KeyState.Kept { .slidingWindow(self) }
}

extension SlidingLog.State: KeptState {
    init?(kept: KeyState.Kept) {
        guard case .log(let state) = kept else { return nil }
        self = state
    }

    var kept: KeyState.Kept { .log(self) }
}

extension Concurrency.State: KeptState {
    init?(kept: KeyState.Kept) {
        guard case .permits(let state) = kept else { return nil }
        self = state
    }

    var kept: KeyState.Kept { .permits(self) }
}

extension KeyState.Kept {
    /// The state within the ranges that the algorithms can calculate with, whatever was read from a store.
    var inRange: KeyState.Kept {
        func units(_ value: Int64) -> Int64 { min(max(0, value), 2 * Rate.maximumCount) }
        func end(_ time: Timestamp) -> Timestamp {
            min(max(0, time), Instant.max.microseconds + 2 * Rate.maximumPeriodTicks)
        }
        switch self {
        case .arrival: return self
        case .fixedWindow(let state): return .fixedWindow(.init(end: end(state.end), used: units(state.used)))
        case .slidingWindow(let state):
            return .slidingWindow(
                .init(
                    expires: end(state.expires), current: units(state.current), previous: units(state.previous)))
        case .log(let state):
            var log = SlidingLog.State()
            let first = min(max(0, state.first), state.entries.count)
            for entry in state.entries[first...] {
                let time = Instant.clamp(entry.time)
                guard log.entries.last.map({ $0.time < time }) ?? true else { continue }
                log.entries.append(SlidingLog.Entry(time: time, cost: units(entry.cost)))
                log.used += units(entry.cost)
            }
            log.expires = end(state.expires)
            return .log(log)
        case .permits(let state):
            var permits = Concurrency.State()
            for permit in state.permits {
                permits.permits.append(Concurrency.Permit(sequence: permit.sequence, cost: units(permit.cost)))
                permits.held += units(permit.cost)
            }
            return .permits(permits)
        }
    }
}
