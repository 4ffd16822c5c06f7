/// One key's state, as a server's answer describes it: settled, before the charge and after a penalty.
///
/// The server decides and charges. The decision's other fields are computed here, by the same code as for memory, so
/// that no field can differ.
package enum RemoteState: Sendable, Hashable {
    /// A token bucket's theoretical arrival time, or a leaky bucket's first free slot: whole ticks, and a remainder in
    /// units of 1/n tick.
    case arrival(ticks: Int128, remainder: Int64)
    case fixedWindow(end: Timestamp, used: Int64)
    case slidingWindow(expires: Timestamp, current: Int64, previous: Int64)
    /// The sum of a log's costs, the time of its last entry, and the time of the entry whose expiry lets a denied
    /// request pass.
    case log(used: Int64, last: Timestamp, release: Timestamp)
    /// The number of permits held.
    case permits(held: Int64)

    /// The decision about a charge.
    ///
    /// - Parameters:
    ///   - charge: the charge that the server decided.
    ///   - now: the server's time of the decision.
    ///   - isCharged: whether the server charged it.
    ///   - sequence: the charge's sequence.
    ///   - held: the units that other requests hold.
    package func decision(
        of charge: Charge, at now: Timestamp, isCharged: Bool, sequence: UInt64, held: Int64 = 0
    ) -> Decision {
        // The state already includes any penalty.
        var charge = charge
        charge.countsDenied = false
        return visit(charge, at: now, sequence: sequence, held: held, Conclude(charge: charge, passes: isCharged))
    }

    /// Whether a debit would change what is left, if this is the state before it.
    package func isChanged(byDebit charge: Charge, at now: Timestamp) -> Bool {
        visit(charge, at: now, sequence: 0, held: 0, Debit(cost: charge.cost))
    }

    private func visit<Visitor: StateVisitor>(
        _ charge: Charge, at now: Timestamp, sequence: UInt64, held: Int64, _ visitor: Visitor
    ) -> Visitor.Output {
        // Never nil: unlike the memory store, this always has room for the key.
        visit(charge.numbers, at: Place(charge: charge, now: now, sequence: sequence, held: held), visitor)!
    }
}

extension RemoteState: StateHost {
    struct Place {
        let charge: Charge
        let now: Timestamp
        let sequence: UInt64
        let held: Int64
    }

    @inline(__always)
    func visit<A: LimitAlgorithm, Visitor: StateVisitor>(
        _ algorithm: A, at place: Place, _ visitor: Visitor
    ) -> Visitor.Output? where A.State: RemotelyStoredState {
        var state = A.State.load(from: self, for: place.charge, held: place.held)
        return visitor.visit(algorithm, &state, at: place.now, sequence: place.sequence, held: place.held)
    }
}

extension LimitNumbers {
    /// The worth of a cost in a bucket, cost × P ÷ n, in whole ticks and units of 1/n tick.
    package func worth(of cost: Int64) -> (ticks: Int128, remainder: Int64) {
        let (ticks, remainder) = Int128(cost, times: period).quotientAndRemainder(dividingBy: Int128(max(1, count)))
        return (ticks, Int64(truncatingIfNeeded: remainder))
    }
}
