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

/// Whether one limit lets a request pass.
enum Admission: Equatable {
    /// It may pass, after a delay in microseconds.
    case allowed(delay: Timestamp)
    /// It may not; the same request would pass after this wait, or never by waiting.
    case denied(retryAfter: Ticks?)

    var isAllowed: Bool {
        if case .allowed = self { true } else { false }
    }
}

/// What is left of a limit.
struct Standing: Equatable {
    var remaining: Int64
    var resetAfter: Ticks?
}

extension Int128 {
    /// The product of two 64-bit numbers, which always fits. A general 128-bit multiplication with its check for
    /// overflow takes several times as long.
    @inline(__always)
    init(_ left: Int64, times right: Int64) {
        let product = left.multipliedFullWidth(by: right)
        self = Int128(truncatingIfNeeded: product.high) << 64 | Int128(truncatingIfNeeded: product.low)
    }

    /// The quotient rounded up. The receiver is at least 0 and the divisor above 0.
    @inline(__always)
    func dividedRoundingUp(by divisor: Int64) -> Int128 {
        // 64-bit division is several times faster, and nearly every division fits.
        let small = UInt64(truncatingIfNeeded: self)
        if Int128(truncatingIfNeeded: small) == self {
            let (quotient, remainder) = small.quotientAndRemainder(dividingBy: UInt64(truncatingIfNeeded: divisor))
            return Int128(truncatingIfNeeded: quotient &+ (remainder > 0 ? 1 : 0))
        }
        let (quotient, remainder) = quotientAndRemainder(dividingBy: Int128(divisor))
        return quotient + (remainder > 0 ? 1 : 0)
    }

    /// The quotient rounded down, as 64 bits. The receiver is at least 0 and the divisor above 0.
    @inline(__always)
    func dividedRoundingDown(by divisor: Int64) -> Int64 {
        if let small = Int64(exactly: self) { return small / divisor }
        return Int64(clamping: self / Int128(divisor))
    }
}
