/// A theoretical arrival time: an exact instant in units of 1/n tick, where n is the limit's count.
///
/// At n units per period P, one unit of cost is worth P/n ticks. That is exactly P of these units, so no remainder is
/// lost. The largest value is below 2^85; `perTick` needs 30 bits.
struct ArrivalTime: Equatable {
    /// The instant, times `perTick`; 0 for an unused key.
    var scaled: Int128
    /// The limit's count when the instant was written.
    var perTick: Int64
    /// Whether the instant is as far ahead as it is because of debt, not because the clock went back.
    var isInDebt = false

    static let fresh = ArrivalTime(scaled: 0, perTick: 1)

    /// Converts the instant to units of 1/`count` tick, rounded up so that no quota is given away.
    @inline(__always)
    mutating func convert(to count: Int64) {
        guard perTick != count else { return }
        scaled = (scaled * Int128(count)).dividedRoundingUp(by: perTick)
        perTick = count
    }

    /// How far the instant is ahead of `now`, in units of 1/n tick; 0 once it has passed.
    @inline(__always)
    func ahead(of now: Timestamp) -> Int128 {
        max(0, scaled &- Int128(now, times: perTick))
    }

    /// Sets the instant to `ahead` units of 1/n tick after `now`.
    @inline(__always)
    mutating func set(ahead: Int128, of now: Timestamp) {
        scaled = Int128(now, times: perTick) &+ ahead
    }
}
