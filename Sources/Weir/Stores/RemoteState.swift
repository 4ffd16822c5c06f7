/// One key's state as a store on a server answers with it: settled, before the charge and after a penalty.
///
/// The server decides and charges; what a decision says beyond that is worked out here, by the same code as for memory,
/// so that no field can differ.
package enum RemoteState: Sendable, Hashable {
    /// The theoretical arrival time of a token bucket, or a leaky bucket's first free slot: whole ticks, and a remainder in
    /// units of 1/n tick.
    case arrival(ticks: Int128, remainder: Int64)
    case fixedWindow(end: Timestamp, used: Int64)
    case slidingWindow(expires: Timestamp, current: Int64, previous: Int64)
    /// What a log adds up to, the time of its last entry, and of the one with whose end a denied request would fit.
    case log(used: Int64, last: Timestamp, release: Timestamp)
    /// How many permits are held.
    case permits(held: Int64)

    /// The decision about a charge.
    ///
    /// - Parameters:
    ///   - isCharged: whether the server charged it.
    ///   - sequence: names the charge.
    package func decision(of charge: Charge, at now: Timestamp, isCharged: Bool, sequence: UInt64) -> Decision {
        // A penalty is in the state already.
        var charge = charge
        charge.countsDenied = false
        return visit(charge, at: now, sequence: sequence, Conclude(charge: charge, passes: isCharged))
    }

    /// Whether a debit changes what is left, if this is the state before it.
    package func isChanged(byDebit charge: Charge, at now: Timestamp) -> Bool {
        visit(charge, at: now, sequence: 0, Debit(cost: charge.cost))
    }

    private func visit<Visitor: StateVisitor>(
        _ charge: Charge, at now: Timestamp, sequence: UInt64, _ visitor: Visitor
    ) -> Visitor.Output {
        let numbers = charge.numbers
        switch self {
        case .arrival(let ticks, let remainder):
            var state = ArrivalTime(scaled: ticks &* Int128(numbers.count) &+ Int128(remainder), perTick: numbers.count)
            if numbers.algorithm.kind == .leakyBucket {
                return visitor.visit(LeakyBucket(numbers), &state, at: now, sequence: sequence)
            }
            return visitor.visit(TokenBucket(numbers), &state, at: now, sequence: sequence)
        case .fixedWindow(let end, let used):
            var state = FixedWindow.State(end: end, used: used)
            return visitor.visit(FixedWindow(numbers), &state, at: now, sequence: sequence)
        case .slidingWindow(let expires, let current, let previous):
            var state = SlidingWindow.State(expires: expires, current: current, previous: previous)
            return visitor.visit(SlidingWindow(numbers), &state, at: now, sequence: sequence)
        case .log(let used, let last, let release):
            var state = Self.log(used: used, last: last, release: release, charge, numbers)
            return visitor.visit(SlidingLog(numbers), &state, at: now, sequence: sequence)
        case .permits(let held):
            var state = Concurrency.State(permits: [], held: held)
            return visitor.visit(Concurrency(numbers), &state, at: now, sequence: sequence)
        }
    }

    /// A log of at most two entries that gives the same answers: one that frees what a denied request lacks, and the last.
    private static func log(
        used: Int64, last: Timestamp, release: Timestamp, _ charge: Charge, _ numbers: LimitNumbers
    ) -> SlidingLog.State {
        var state = SlidingLog.State()
        let lacking = min(used, max(0, used &+ charge.required &- numbers.count))
        if lacking > 0, release < last {
            state.entries = [.init(time: release, cost: lacking), .init(time: last, cost: used - lacking)]
        } else if used > 0 {
            state.entries = [.init(time: last, cost: used)]
        }
        state.used = used
        state.expires = last &+ numbers.period
        return state
    }
}

extension LimitNumbers {
    /// What a cost is worth in a bucket, in whole ticks and units of 1/n tick: cost × P ÷ n.
    package func worth(of cost: Int64) -> (ticks: Int128, remainder: Int64) {
        let (ticks, remainder) = Int128(cost, times: period).quotientAndRemainder(dividingBy: Int128(max(1, count)))
        return (ticks, Int64(truncatingIfNeeded: remainder))
    }
}
