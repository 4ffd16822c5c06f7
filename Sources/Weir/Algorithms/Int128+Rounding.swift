extension Int128 {
    /// The product of two 64-bit numbers, which always fits. A general 128-bit multiplication with an overflow check
    /// takes several times as long.
    @inline(__always)
    init(_ left: Int64, times right: Int64) {
        let product = left.multipliedFullWidth(by: right)
        self = Int128(truncatingIfNeeded: product.high) << 64 | Int128(truncatingIfNeeded: product.low)
    }

    /// The quotient, rounded up. The receiver must be at least 0 and the divisor above 0.
    @inline(__always)
    func dividedRoundingUp(by divisor: Int64) -> Int128 {
        // 64-bit division is several times faster, and nearly every dividend fits.
        let small = UInt64(truncatingIfNeeded: self)
        if Int128(truncatingIfNeeded: small) == self {
            let (quotient, remainder) = small.quotientAndRemainder(dividingBy: UInt64(truncatingIfNeeded: divisor))
            return Int128(truncatingIfNeeded: quotient &+ (remainder > 0 ? 1 : 0))
        }
        let (quotient, remainder) = quotientAndRemainder(dividingBy: Int128(divisor))
        return quotient + (remainder > 0 ? 1 : 0)
    }

    /// The quotient, rounded down and clamped to 64 bits. The receiver must be at least 0 and the divisor above 0.
    @inline(__always)
    func dividedRoundingDown(by divisor: Int64) -> Int64 {
        if let small = Int64(exactly: self) { return small / divisor }
        return Int64(clamping: self / Int128(divisor))
    }
}
