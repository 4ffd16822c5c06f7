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

    /// Charges after the fact, into debt: of a token bucket up to ``LimitNumbers/mostDebt``.
    func debit(_ state: inout State, at now: Timestamp, cost: Int64)

    /// Gives back a charge, less what time has given back of it, and never above the capacity. Returns whether anything
    /// was given back.
    func refund(_ state: inout State, at now: Timestamp, cost: Int64, receipt: Receipt) -> Bool

    /// Gives units back without a charge, never above the capacity. Returns whether anything was given back.
    func credit(_ state: inout State, at now: Timestamp, cost: Int64) -> Bool

    /// The units left now, and the time until all of them are back.
    func standing(_ state: State, at now: Timestamp) -> Standing

    /// Whether a request of this cost may pass while other requests hold `held` units, which don't drain.
    func admission(_ state: State, at now: Timestamp, cost: Int64, held: Int64) -> Admission

    /// The units left while `held` units are held, and the time until all that is charged is back.
    func standing(_ state: State, at now: Timestamp, held: Int64) -> Standing
}

extension LimitAlgorithm {
    // Units that don't drain are like a larger cost: waiting can't help once they leave no room.
    @inline(__always)
    func admission(_ state: State, at now: Timestamp, cost: Int64, held: Int64) -> Admission {
        admission(state, at: now, cost: cost &+ held)
    }

    @inline(__always)
    func standing(_ state: State, at now: Timestamp, held: Int64) -> Standing {
        var standing = standing(state, at: now)
        if held > 0 { standing.remaining = max(0, standing.remaining &- held) }
        return standing
    }
}
