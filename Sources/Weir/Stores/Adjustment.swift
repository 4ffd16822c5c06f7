/// A change to a key's state outside a decision.
public enum Adjustment: Sendable, Hashable {
    /// Gives back what a charge took, less what time has given back of it, with its decision's receipt: once, within an
    /// hour, and not after a reset or the window's end. For a concurrency limit it frees the permit.
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
