/// One algorithm over one key's state: pure arithmetic, with the time passed in.
///
/// A decision is `settle`, then `admission`; then `charge` if every limit of the request allows;
/// then `standing`. The steps are apart because several limits decide together.
/// No method may trap for any state that these methods can produce, at any time and cost in range.
protocol LimitAlgorithm {
    associatedtype State

    init(_ numbers: LimitNumbers)

    /// The state of a key that was never seen.
    static var fresh: State { get }

    /// Brings a state to `now` and to this limit's numbers: drops what has expired, and pulls back
    /// times that lie further ahead than these numbers could put them, as after a clock went back.
    func settle(_ state: inout State, at now: Timestamp)

    /// Whether a request of this cost may pass. Expects a settled state and changes nothing.
    func admission(_ state: State, at now: Timestamp, cost: Int64) -> Admission

    /// Charges an admitted request. `sequence` names the charge.
    func charge(_ state: inout State, at now: Timestamp, cost: Int64, sequence: UInt64)

    /// Charges a denied request, up to capacity and never into debt.
    func penalize(_ state: inout State, at now: Timestamp, cost: Int64)

    /// Charges after the fact, into debt of at most one capacity.
    func debit(_ state: inout State, at now: Timestamp, cost: Int64)

    /// Gives back a charge, never above capacity. Returns whether anything was given back.
    func refund(_ state: inout State, at now: Timestamp, cost: Int64, receipt: Receipt) -> Bool

    /// What is left now, and when all of it is back.
    func standing(_ state: State, at now: Timestamp) -> Standing
}
