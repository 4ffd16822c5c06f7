/// A limit's numeric parameters. Trivially copyable.
package struct LimitNumbers: Sendable, Hashable {
    /// How the limit counts.
    package let algorithm: Algorithm
    /// Units per period, n; for concurrency, the most requests in flight.
    package let count: Int64
    /// The period, P, in microseconds; 0 for concurrency.
    package let period: Timestamp
    /// The token bucket's capacity; `count` for every other algorithm.
    package let burst: Int64
    /// The longest delay of a leaky bucket, in microseconds; 0 for other algorithms.
    package let maxWait: Timestamp
    /// Where a fixed window begins.
    package let alignment: WindowAlignment

    /// The most units by which a token bucket's key may be in debt; `capacity` for every other algorithm.
    package let mostDebt: Int64

    /// The highest cost that one request can have without being denied permanently.
    package var capacity: Int64 { burst }

    // The rest is precomputed for the most frequent decision.

    /// `burst` × `period` if every sum of a token bucket fits in 64 bits; otherwise -1.
    let smallCapacity: Int64
    let dividedByCount: Reciprocal
    let dividedByPeriod: Reciprocal

    init(
        algorithm: Algorithm, count: Int64, period: Timestamp, burst: Int64, maxWait: Timestamp = 0,
        alignment: WindowAlignment = .epoch, mostDebt: Int64? = nil
    ) {
        self.algorithm = algorithm
        self.count = count
        self.period = period
        self.burst = burst
        self.maxWait = maxWait
        self.alignment = alignment
        self.mostDebt = algorithm == .tokenBucket ? mostDebt ?? Self.defaultDebt(burst) : burst
        let capacity = Int128(burst) * Int128(period)
        smallCapacity = algorithm == .tokenBucket && capacity < 1 << 62 ? Int64(capacity) : -1
        dividedByCount = Reciprocal(of: count)
        dividedByPeriod = Reciprocal(of: period)
    }

    // The precomputed numbers follow from these.
    package static func == (left: LimitNumbers, right: LimitNumbers) -> Bool {
        left.count == right.count && left.period == right.period && left.burst == right.burst
            && left.maxWait == right.maxWait && left.algorithm == right.algorithm && left.alignment == right.alignment
            && left.mostDebt == right.mostDebt
    }

    /// A hundred times the capacity.
    private static func defaultDebt(_ burst: Int64) -> Int64 { 100 * burst }

    package func hash(into hasher: inout Hasher) {
        hasher.combine(algorithm)
        hasher.combine(count)
        hasher.combine(period)
        hasher.combine(burst)
        hasher.combine(maxWait)
        hasher.combine(alignment)
        hasher.combine(mostDebt)
    }

    /// One instance's share of the limit when `instances` split it: count and burst divided, rounded down, at least 1.
    package func divided(by instances: Int64) -> LimitNumbers {
        let divisor = max(1, instances)
        return LimitNumbers(
            algorithm: algorithm, count: max(1, count / divisor), period: period, burst: max(1, burst / divisor),
            maxWait: maxWait, alignment: alignment, mostDebt: max(1, mostDebt / divisor))
    }
}
