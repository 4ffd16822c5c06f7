/// A change to a key's state outside a decision.
public enum Adjustment: Sendable, Hashable {
    /// Gives back what a charge took, with its decision's receipt: once, never above the capacity, and not after a
    /// reset or the window's end. For a concurrency limit it frees the permit.
    case refund(Charge, Receipt)
    /// Charges after the fact, into debt of at most one capacity.
    case debit(Charge)
    /// Forgets the key and voids its earlier receipts.
    case reset(LimitNumbers, Key)
}
