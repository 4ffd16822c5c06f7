/// A change to a key's state outside a decision.
///
/// A ``Store`` finds the key's state, and ``KeyState/apply(_:at:)`` changes it.
public struct Adjustment: Sendable, Hashable {
    package enum Kind: Sendable, Hashable {
        /// Gives back what a charge took, less what time has given back of it, with its decision's receipt: once,
        /// within an hour, and not after a reset or the window's end. For a concurrency limit it frees the permit.
        case refund(Charge, Receipt)
        /// Charges after the fact, into debt: of a token bucket up to ``LimitNumbers/mostDebt``, of others up to one
        /// capacity.
        case debit(Charge)
        /// Ends the hold that a decision's receipt names, and charges the actual cost in the same step: `actual` units,
        /// 0 to 10^9, into debt if need be. Only once; the charge is the one that was decided.
        case settle(Charge, Receipt, actual: Int64)
        /// Gives units back without a charge, never above the capacity.
        case credit(Charge)
        /// Forgets the key's charges and voids their receipts. Requests under way keep what they hold.
        case reset(LimitNumbers, Key)
    }

    package let kind: Kind

    /// The key whose state changes.
    public var key: Key {
        switch kind {
        case .refund(let charge, _), .debit(let charge), .settle(let charge, _, _), .credit(let charge): charge.key
        case .reset(_, let key): key
        }
    }

    package static func refund(_ charge: Charge, _ receipt: Receipt) -> Adjustment {
        Adjustment(kind: .refund(charge, receipt))
    }

    package static func debit(_ charge: Charge) -> Adjustment { Adjustment(kind: .debit(charge)) }

    package static func settle(_ charge: Charge, _ receipt: Receipt, actual: Int64) -> Adjustment {
        Adjustment(kind: .settle(charge, receipt, actual: actual))
    }

    package static func credit(_ charge: Charge) -> Adjustment { Adjustment(kind: .credit(charge)) }

    package static func reset(_ numbers: LimitNumbers, _ key: Key) -> Adjustment {
        Adjustment(kind: .reset(numbers, key))
    }
}
