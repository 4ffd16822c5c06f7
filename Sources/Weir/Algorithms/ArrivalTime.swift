/// A theoretical arrival time: an exact instant in units of 1/n of a tick, where n is the limit's count.
///
/// At n units for each period P, one unit of cost is P/n ticks, which is exactly P of these
/// units: no remainder is ever lost. The largest is below 2^83, and 1/n needs 30 bits.
struct ArrivalTime: Equatable {
    /// The instant, times `perTick`. 0 for a key that was never seen.
    var scaled: Int128
    /// n when it was written.
    var perTick: Int64

    static let fresh = ArrivalTime(scaled: 0, perTick: 1)

    /// Expresses the instant in units of 1/n, rounded up so that nothing is given away.
    @inline(__always)
    mutating func convert(to count: Int64) {
        guard perTick != count else { return }
        scaled = (scaled * Int128(count)).dividedRoundingUp(by: perTick)
        perTick = count
    }

    /// How far the instant lies ahead of now, in units of 1/n tick; 0 when it has passed.
    @inline(__always)
    func ahead(of now: Timestamp) -> Int128 {
        max(0, scaled &- Int128(now, times: perTick))
    }

    /// Puts the instant so far ahead of now.
    @inline(__always)
    mutating func set(ahead: Int128, of now: Timestamp) {
        scaled = Int128(now, times: perTick) &+ ahead
    }
}
