/// A change to a key's state outside a decision.
public enum Adjustment: Sendable, Hashable {
    /// Gives back what a charge took, proven by its decision's receipt: once, never above capacity, nothing after a reset or the
    /// window's end. For concurrency it frees the permit.
    case refund(Charge, Receipt)
    /// Charges after the fact, into debt of at most one capacity.
    case debit(Charge)
    /// Forgets the key. Its earlier receipts are void.
    case reset(LimitNumbers, Key)
}
