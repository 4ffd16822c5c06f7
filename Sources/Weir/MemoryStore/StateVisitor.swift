/// An operation on one key's settled state, for any algorithm.
protocol StateVisitor {
    associatedtype Output

    /// Whether a key that is not in the table must be kept after the visit.
    var mayCharge: Bool { get }

    /// - Parameter held: the units that requests under way hold.
    func visit<A: LimitAlgorithm>(
        _ algorithm: A, _ state: inout A.State, at now: Timestamp, sequence: UInt64, held: Int64
    ) -> Output
}

/// Asks one of several limits, without charging.
struct Ask: StateVisitor {
    typealias Output = Admission

    let required: Int64

    var mayCharge: Bool { false }

    @inline(__always)
    func visit<A: LimitAlgorithm>(
        _ algorithm: A, _ state: inout A.State, at now: Timestamp, sequence: UInt64, held: Int64
    ) -> Admission {
        algorithm.admission(state, at: now, cost: required, held: held)
    }
}

/// Concludes a decision: charges if all limits allow, and computes what is left. Units to hold are only counted here;
/// whoever keeps the holds adds them.
struct Conclude: StateVisitor {
    typealias Output = Decision

    let charge: Charge
    /// Whether every enforced limit allows.
    let passes: Bool
    /// Whether the state is the budget that new keys share.
    var isShared = false

    var mayCharge: Bool { charge.cost > 0 }

    @inline(__always)
    func visit<A: LimitAlgorithm>(
        _ algorithm: A, _ state: inout A.State, at now: Timestamp, sequence: UInt64, held: Int64
    ) -> Decision {
        var held = held
        var admission = algorithm.admission(state, at: now, cost: charge.required, held: held)
        var charged: UInt64?
        switch admission {
        case .allowed:
            if passes, charge.cost > 0 {
                if charge.isHold {
                    held += charge.cost
                } else {
                    algorithm.charge(&state, at: now, cost: charge.cost, sequence: sequence)
                }
                charged = isShared ? sequence | Receipt.sharedBit : sequence
            }
        case .denied:
            if charge.countsDenied, charge.cost > 0 {
                algorithm.penalize(&state, at: now, cost: charge.cost)
                admission = algorithm.admission(state, at: now, cost: charge.required, held: held)
            }
        }
        let standing = algorithm.standing(state, at: now, held: held)
        var decision = Decision(
            isAllowed: true,
            quota: charge.numbers.count,
            remaining: standing.remaining,
            resetTicks: standing.resetAfter,
            timestamp: now,
            charged: charged
        )
        switch admission {
        case .allowed(let delay):
            decision.delayTicks = delay
        case .denied(let retryAfter):
            decision.isAllowed = false
            decision.retryTicks = retryAfter
        }
        return decision
    }
}

/// Charges after the fact. Returns whether that changed what is left.
struct Debit: StateVisitor {
    typealias Output = Bool

    let cost: Int64

    var mayCharge: Bool { cost > 0 }

    func visit<A: LimitAlgorithm>(
        _ algorithm: A, _ state: inout A.State, at now: Timestamp, sequence: UInt64, held: Int64
    ) -> Bool {
        let before = algorithm.standing(state, at: now)
        algorithm.debit(&state, at: now, cost: cost)
        return algorithm.standing(state, at: now) != before
    }
}

/// Gives a charge back. Returns whether anything was given back.
struct Refund: StateVisitor {
    typealias Output = Bool

    let cost: Int64
    let receipt: Receipt

    var mayCharge: Bool { false }

    func visit<A: LimitAlgorithm>(
        _ algorithm: A, _ state: inout A.State, at now: Timestamp, sequence: UInt64, held: Int64
    ) -> Bool {
        algorithm.refund(&state, at: now, cost: cost, receipt: receipt)
    }
}

/// Gives units back without a charge. Returns whether anything was given back.
struct Credit: StateVisitor {
    typealias Output = Bool

    let cost: Int64

    var mayCharge: Bool { false }

    func visit<A: LimitAlgorithm>(
        _ algorithm: A, _ state: inout A.State, at now: Timestamp, sequence: UInt64, held: Int64
    ) -> Bool {
        algorithm.credit(&state, at: now, cost: cost)
    }
}

/// Whether any unit of a limit is used.
struct IsUsed: StateVisitor {
    typealias Output = Bool

    let count: Int64

    var mayCharge: Bool { false }

    func visit<A: LimitAlgorithm>(
        _ algorithm: A, _ state: inout A.State, at now: Timestamp, sequence: UInt64, held: Int64
    ) -> Bool {
        let standing = algorithm.standing(state, at: now)
        // Concurrency has no reset.
        return standing.resetAfter.map { $0 > 0 } ?? (standing.remaining < count)
    }
}
