/// An algorithm's state that can be rebuilt from the answer of a store on a server.
protocol RemotelyStoredState {
    /// Rebuilds the state that `remote` describes, as far as a decision about `charge` needs it.
    ///
    /// If `remote` has the shape of a different algorithm, the key counts as unused. No store answers like that.
    static func load(from remote: RemoteState, for charge: Charge, held: Int64) -> Self
}

extension ArrivalTime: RemotelyStoredState {
    @inline(__always)
    static func load(from remote: RemoteState, for charge: Charge, held: Int64) -> ArrivalTime {
        guard case .arrival(let ticks, let remainder) = remote else { return .fresh }
        let count = charge.numbers.count
        return ArrivalTime(scaled: ticks &* Int128(count) &+ Int128(remainder), perTick: count)
    }
}

extension FixedWindow.State: RemotelyStoredState {
    @inline(__always)
    static func load(from remote: RemoteState, for charge: Charge, held: Int64) -> FixedWindow.State {
        guard case .fixedWindow(let end, let used) = remote else { return FixedWindow.fresh }
        return FixedWindow.State(end: end, used: used)
    }
}

extension SlidingWindow.State: RemotelyStoredState {
    @inline(__always)
    static func load(from remote: RemoteState, for charge: Charge, held: Int64) -> SlidingWindow.State {
        guard case .slidingWindow(let expires, let current, let previous) = remote else { return SlidingWindow.fresh }
        return SlidingWindow.State(expires: expires, current: current, previous: previous)
    }
}

extension SlidingLog.State: RemotelyStoredState {
    /// Builds a log of at most two entries that answers like the server's. One entry frees what a denied request lacks;
    /// the other is the last.
    @inline(__always)
    static func load(from remote: RemoteState, for charge: Charge, held: Int64) -> SlidingLog.State {
        guard case .log(let used, let last, let release) = remote else { return SlidingLog.fresh }
        var state = SlidingLog.State()
        let lacking = min(used, max(0, used &+ charge.required &+ held &- charge.numbers.count))
        if lacking > 0, release < last {
            state.entries = [.init(time: release, cost: lacking), .init(time: last, cost: used - lacking)]
        } else if used > 0 {
            state.entries = [.init(time: last, cost: used)]
        }
        state.used = used
        state.expires = last &+ charge.numbers.period
        return state
    }
}

extension Concurrency.State: RemotelyStoredState {
    @inline(__always)
    static func load(from remote: RemoteState, for charge: Charge, held: Int64) -> Concurrency.State {
        guard case .permits(let held) = remote else { return Concurrency.fresh }
        return Concurrency.State(permits: [], held: held)
    }
}
