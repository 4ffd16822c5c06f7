/// A divisor stored as a multiplier: division takes some processors ten times as long as multiplication.
struct Reciprocal: Sendable, Hashable {
    private let divisor: UInt64
    /// ⌊(2^64 − 1) ÷ divisor⌋.
    private let factor: UInt64

    /// - Parameter divisor: at least 1; smaller values count as 1.
    init(of divisor: Int64) {
        self.divisor = UInt64(max(1, divisor))
        factor = UInt64.max / self.divisor
    }

    /// The quotient, rounded up.
    ///
    /// - Parameter value: at least 0.
    @inline(__always)
    func dividingRoundingUp(_ value: Int64) -> Int64 {
        let value = UInt64(truncatingIfNeeded: value)
        // The estimate is at most one too small: the factor is less than 1 below 2^64 ÷ divisor, and the value is below
        // 2^64.
        var quotient = value.multipliedFullWidth(by: factor).high
        var remainder = value &- quotient &* divisor
        if remainder >= divisor {
            quotient &+= 1
            remainder &-= divisor
        }
        return Int64(truncatingIfNeeded: quotient &+ (remainder > 0 ? 1 : 0))
    }
}
