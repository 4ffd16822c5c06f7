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
        // Never nil: unlike the memory store, an answer always has room for its key.
        visit(charge.numbers, at: Place(charge: charge, now: now, sequence: sequence), visitor)!
    }
}

extension RemoteState: StateHost {
    struct Place {
        let charge: Charge
        let now: Timestamp
        let sequence: UInt64
    }

    @inline(__always)
    func visit<A: LimitAlgorithm, Visitor: StateVisitor>(
        _ algorithm: A, at place: Place, _ visitor: Visitor
    ) -> Visitor.Output? where A.State: RemotelyStoredState {
        var state = A.State.load(from: self, for: place.charge)
        return visitor.visit(algorithm, &state, at: place.now, sequence: place.sequence)
    }
}

extension LimitNumbers {
    /// What a cost is worth in a bucket, in whole ticks and units of 1/n tick: cost × P ÷ n.
    package func worth(of cost: Int64) -> (ticks: Int128, remainder: Int64) {
        let (ticks, remainder) = Int128(cost, times: period).quotientAndRemainder(dividingBy: Int128(max(1, count)))
        return (ticks, Int64(truncatingIfNeeded: remainder))
    }
}
