/// A number of units per period, and the number that may be spent at once.
public struct Rate: Sendable, Hashable {
    /// Units per period, 1 to 10^9.
    public let count: Int64
    /// The period in microseconds.
    package let periodTicks: Timestamp
    /// The capacity of a token bucket, 1 to 10^9. Other algorithms ignore it.
    public let burst: Int64

    /// The period, 1 microsecond to 366 days.
    public var period: Duration { Duration(ticks: Ticks(periodTicks)) }

    /// The largest count, burst and cost: 10^9.
    public static let maximumCount: Int64 = 1_000_000_000
    /// The longest period: 366 days.
    public static let maximumPeriod = Duration(ticks: Ticks(maximumPeriodTicks))
    /// The longest period, in microseconds.
    package static let maximumPeriodTicks: Timestamp = 366 * 86_400_000_000

    /// Creates a rate of `count` units per `period`.
    ///
    /// - Parameters:
    ///   - count: 1 to 10^9.
    ///   - period: 1 microsecond to 366 days. A fraction of a microsecond is rounded up.
    ///   - burst: the units that may be spent at once, 1 to 10^9; `count` when nil.
    /// - Throws: ``LimitError``, which names the number that is out of range.
    public init(_ count: Int64, per period: Duration, burst: Int64? = nil) throws(LimitError) {
        try self.init(count, perTicks: Timestamp(clamping: period.ticksRoundedUp), burst: burst)
    }

    /// Creates a rate of `count` units per `period` microseconds.
    package init(_ count: Int64, perTicks period: Timestamp, burst: Int64? = nil) throws(LimitError) {
        guard count >= 1, count <= Self.maximumCount else {
            throw LimitError(.count, "a rate's count must be 1 to 1000000000, not \(count)")
        }
        guard period >= 1, period <= Self.maximumPeriodTicks else {
            throw LimitError(.period, "a rate's period must be 1 microsecond to 366 days, not \(period) microseconds")
        }
        let burst = burst ?? count
        guard burst >= 1, burst <= Self.maximumCount else {
            throw LimitError(.count, "a burst must be 1 to 1000000000, not \(burst)")
        }
        self.init(unchecked: count, period: period, burst: burst)
    }

    private init(unchecked count: Int64, period: Timestamp, burst: Int64) {
        self.count = count
        self.periodTicks = period
        self.burst = burst
    }

    /// This rate with its count and burst multiplied by a fraction, rounded down, at least 1.
    ///
    /// - Parameters:
    ///   - numerator: 0 to `denominator`.
    ///   - denominator: 1 to 10^9.
    package func scaled(by numerator: Int64, over denominator: Int64) -> Rate {
        func scale(_ value: Int64) -> Int64 { Swift.max(1, value * numerator / denominator) }
        return Rate(unchecked: scale(count), period: periodTicks, burst: scale(burst))
    }
}

extension Rate {
    // Made for numbers written in code, so these don't throw. `Rate(_:per:)` is for numbers known only at run time.

    /// `count` units per second, with a burst of the same size.
    ///
    /// - Precondition: `count` is 1 to 10^9. Use ``init(_:per:burst:)`` for a number that isn't written in code.
    public static func perSecond(_ count: Int64) -> Rate { literal(count, per: 1_000_000) }

    /// `count` units per minute, with a burst of the same size.
    ///
    /// - Precondition: `count` is 1 to 10^9. Use ``init(_:per:burst:)`` for a number that isn't written in code.
    public static func perMinute(_ count: Int64) -> Rate { literal(count, per: 60_000_000) }

    /// `count` units per hour, with a burst of the same size.
    ///
    /// - Precondition: `count` is 1 to 10^9. Use ``init(_:per:burst:)`` for a number that isn't written in code.
    public static func perHour(_ count: Int64) -> Rate { literal(count, per: 3_600_000_000) }

    /// `count` units per day of 24 hours, with a burst of the same size.
    ///
    /// - Precondition: `count` is 1 to 10^9. Use ``init(_:per:burst:)`` for a number that isn't written in code.
    public static func perDay(_ count: Int64) -> Rate { literal(count, per: 86_400_000_000) }

    private static func literal(_ count: Int64, per period: Timestamp) -> Rate {
        precondition((1...maximumCount).contains(count), "a rate's count must be 1 to 1000000000, not \(count)")
        return Rate(unchecked: count, period: period, burst: count)
    }
}
