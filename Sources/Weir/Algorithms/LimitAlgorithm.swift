/// One algorithm over one key's state: pure arithmetic, with the time passed in.
///
/// A decision calls `settle`, then `admission`, then `charge` if every limit of the request allows it, then `standing`.
/// The steps are separate because several limits decide together. No method may trap for a state that these methods can
/// produce, at any time and cost in range.
protocol LimitAlgorithm {
    associatedtype State

    init(_ numbers: LimitNumbers)

    /// The state of an unused key.
    static var fresh: State { get }

    /// Brings a state up to `now` and to this limit's numbers. Drops expired charges, and pulls back times further
    /// ahead than these numbers allow, as happens after the clock goes back.
    func settle(_ state: inout State, at now: Timestamp)

    /// Whether a request of this cost may pass. Expects a settled state.
    func admission(_ state: State, at now: Timestamp, cost: Int64) -> Admission

    /// Charges an admitted request. `sequence` identifies the charge.
    func charge(_ state: inout State, at now: Timestamp, cost: Int64, sequence: UInt64)

    /// Charges a denied request, up to the capacity and never into debt.
    func penalize(_ state: inout State, at now: Timestamp, cost: Int64)

    /// Charges after the fact, into debt of at most one capacity.
    func debit(_ state: inout State, at now: Timestamp, cost: Int64)

    /// Gives back a charge, never above the capacity. Returns whether anything was given back.
    func refund(_ state: inout State, at now: Timestamp, cost: Int64, receipt: Receipt) -> Bool

    /// The units left now, and the time until all of them are back.
    func standing(_ state: State, at now: Timestamp) -> Standing
}
