/// A number of units per period, and the number that may be spent at once.
public struct Rate: Sendable, Hashable {
    /// Units per period, 1 to 10^9.
    public let count: Int64
    /// The period in microseconds, 1 to 366 days.
    public let period: Timestamp
    /// The capacity of a token bucket, 1 to 10^9. Other algorithms ignore it.
    public let burst: Int64

    /// The largest count, burst and cost.
    public static let largestCount: Int64 = 1_000_000_000
    /// The longest period: 366 days, in microseconds.
    public static let longestPeriod: Timestamp = 366 * 86_400_000_000

    /// Creates a rate of `count` units per `period` microseconds.
    ///
    /// - Parameters:
    ///   - count: 1 to 10^9.
    ///   - period: 1 microsecond to 366 days, in microseconds.
    ///   - burst: 1 to 10^9; `count` when nil.
    /// - Throws: ``LimitError``, which names the number that is out of range.
    public init(_ count: Int64, per period: Timestamp, burst: Int64? = nil) throws(LimitError) {
        guard count >= 1, count <= Self.largestCount else {
            throw LimitError(.count, "a rate's count must be 1 to 1000000000, not \(count)")
        }
        guard period >= 1, period <= Self.longestPeriod else {
            throw LimitError(.period, "a rate's period must be 1 microsecond to 366 days, not \(period) microseconds")
        }
        let burst = burst ?? count
        guard burst >= 1, burst <= Self.largestCount else {
            throw LimitError(.count, "a burst must be 1 to 1000000000, not \(burst)")
        }
        self.count = count
        self.period = period
        self.burst = burst
    }

    private init(unchecked count: Int64, period: Timestamp, burst: Int64) {
        self.count = count
        self.period = period
        self.burst = burst
    }

    /// This rate with its count and burst multiplied by a fraction, rounded down, at least 1.
    ///
    /// - Parameters:
    ///   - numerator: 0 to `denominator`.
    ///   - denominator: 1 to 10^9.
    package func scaled(by numerator: Int64, over denominator: Int64) -> Rate {
        func scale(_ value: Int64) -> Int64 { Swift.max(1, value * numerator / denominator) }
        return Rate(unchecked: scale(count), period: period, burst: scale(burst))
    }
}

extension Rate {
    /// `count` units per second, with a burst of the same size.
    public static func perSecond(_ count: Int64) throws(LimitError) -> Rate { try Rate(count, per: 1_000_000) }
    /// `count` units per minute, with a burst of the same size.
    public static func perMinute(_ count: Int64) throws(LimitError) -> Rate { try Rate(count, per: 60_000_000) }
    /// `count` units per hour, with a burst of the same size.
    public static func perHour(_ count: Int64) throws(LimitError) -> Rate { try Rate(count, per: 3_600_000_000) }
}
