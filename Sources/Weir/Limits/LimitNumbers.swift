/// The numbers by which a state is judged. Plain bits, so that a charge can be copied for free.
public struct LimitNumbers: Sendable, Hashable {
    public let algorithm: Algorithm
    /// n: units for each period; for concurrency, how many in flight.
    public let count: Int64
    /// P, in microseconds; 0 for concurrency, which has none.
    public let period: Timestamp
    /// The token bucket's capacity; `count` for every other algorithm.
    public let burst: Int64
    /// The longest a leaky bucket delays a request, in microseconds.
    public let maxWait: Timestamp
    public let alignment: WindowAlignment

    /// The most that one request can cost without being refused for ever.
    public var capacity: Int64 { burst }

    // Worked out once, for the decision that is made most often.

    /// `burst` × `period`, when all of a token bucket's sums fit 64 bits; else -1.
    let smallCapacity: Int64
    let dividedByCount: Reciprocal
    let dividedByPeriod: Reciprocal

    init(
        algorithm: Algorithm, count: Int64, period: Timestamp, burst: Int64, maxWait: Timestamp = 0,
        alignment: WindowAlignment = .epoch
    ) {
        self.algorithm = algorithm
        self.count = count
        self.period = period
        self.burst = burst
        self.maxWait = maxWait
        self.alignment = alignment
        let capacity = Int128(burst) * Int128(period)
        smallCapacity = algorithm == .tokenBucket && capacity < 1 << 62 ? Int64(capacity) : -1
        dividedByCount = Reciprocal(of: count)
        dividedByPeriod = Reciprocal(of: period)
    }

    // The rest follows from these.
    public static func == (left: LimitNumbers, right: LimitNumbers) -> Bool {
        left.count == right.count && left.period == right.period && left.burst == right.burst
            && left.maxWait == right.maxWait && left.algorithm == right.algorithm && left.alignment == right.alignment
    }

    public func hash(into hasher: inout Hasher) {
        hasher.combine(algorithm)
        hasher.combine(count)
        hasher.combine(period)
        hasher.combine(burst)
        hasher.combine(maxWait)
        hasher.combine(alignment)
    }

    /// One instance's share of a limit that so many would hold together: count and burst divided, rounded down, at
    /// least 1.
    package func divided(by instances: Int64) -> LimitNumbers {
        let divisor = max(1, instances)
        return LimitNumbers(
            algorithm: algorithm, count: max(1, count / divisor), period: period, burst: max(1, burst / divisor),
            maxWait: maxWait, alignment: alignment)
    }
}
