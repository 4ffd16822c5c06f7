import Weir

/// A naive and exact judge of one key: it keeps the list of all that was admitted and asks, for every
/// request, what the algorithm's promise says about that list. None of the engine's code is used.
struct Oracle {
    struct Verdict: Equatable {
        var allowed: Bool
        var delay: Timestamp = 0
    }

    let limit: Limit
    /// Time and cost of all that was charged.
    var admitted: [(time: Timestamp, cost: Int64)] = []
    /// A leaky bucket's slots: exact instants, times n.
    var slots: [Int128] = []

    private var n: Int128 { Int128(limit.numbers.count) }
    private var period: Int128 { Int128(limit.numbers.period) }

    init(_ limit: Limit) {
        self.limit = limit
    }

    /// Judges a request and, when it is allowed, adds it to the list.
    mutating func decide(at now: Timestamp, cost: Int64) -> Verdict {
        let verdict = judge(at: now, cost: cost)
        if verdict.allowed, cost > 0 {
            for _ in 0..<(limit.algorithm == .leakyBucket ? cost : 0) { slots.append(nextSlot(at: now)) }
            admitted.append((now, cost))
        }
        return verdict
    }

    func judge(at now: Timestamp, cost: Int64) -> Verdict {
        if cost == 0 { return Verdict(allowed: true) }
        switch limit.algorithm.kind {
        case .tokenBucket: return Verdict(allowed: bucketAllows(at: now, cost: cost))
        case .fixedWindow: return Verdict(allowed: used(since: windowStart(at: now)) + Int128(cost) <= n)
        case .slidingLog: return Verdict(allowed: used(since: Int128(now) - period + 1) + Int128(cost) <= n)
        case .slidingWindow:
            let estimate = scaledEstimate(at: now)
            return Verdict(allowed: estimate + Int128(cost) * period <= n * period)
        case .leakyBucket:
            let wait = (nextSlot(at: now) - Int128(now) * n + n - 1) / n
            let allowed = Int128(cost) <= n && wait <= Int128(limit.numbers.maxWait)
            return Verdict(allowed: allowed, delay: allowed ? Timestamp(wait) : 0)
        case .concurrency: return Verdict(allowed: used(since: 0) + Int128(cost) <= n)
        }
    }

    /// How many requests of cost 1 would pass now, by trying.
    func remaining(at now: Timestamp, most: Int64) -> Int64 {
        var copy = self
        var count: Int64 = 0
        while count < most, copy.decide(at: now, cost: 1).allowed { count += 1 }
        return count
    }

    /// Whether everything is back: nothing that was admitted matters any more.
    func isReset(at now: Timestamp) -> Bool {
        switch limit.algorithm.kind {
        case .tokenBucket: bucketAllows(at: now, cost: limit.numbers.burst)
        case .fixedWindow: used(since: windowStart(at: now)) == 0
        case .slidingLog: used(since: Int128(now) - period + 1) == 0
        case .slidingWindow: scaledEstimate(at: now) == 0
        case .leakyBucket: (slots.last.map { $0 + period } ?? 0) <= Int128(now) * n
        case .concurrency: used(since: 0) == 0
        }
    }

    /// Admitted ≤ burst + rate × Δ, over every Δ that begins with an admitted request.
    private func bucketAllows(at now: Timestamp, cost: Int64) -> Bool {
        let burst = Int128(limit.numbers.burst)
        var sum = Int128(cost)
        if sum > burst { return false }
        for entry in admitted.reversed() {
            sum += Int128(entry.cost)
            if sum * period > burst * period + n * Int128(now - entry.time) { return false }
        }
        return true
    }

    private func used(since start: Int128) -> Int128 {
        admitted.reduce(0) { $0 + (Int128($1.time) >= start ? Int128($1.cost) : 0) }
    }

    private func windowStart(at now: Timestamp) -> Int128 {
        if limit.numbers.alignment == .epoch { return Int128(now) / period * period }
        var start: Int128?
        for entry in admitted {
            guard let current = start, Int128(entry.time) < current + period else {
                start = Int128(entry.time)
                continue
            }
        }
        guard let start, Int128(now) < start + period else { return Int128(now) }
        return start
    }

    /// previous × (P − elapsed) + current × P: the estimate, times P.
    private func scaledEstimate(at now: Timestamp) -> Int128 {
        let start = Int128(now) / period * period
        let current = used(since: start)
        let previous = used(since: start - period) - current
        return previous * (period - (Int128(now) - start)) + current * period
    }

    private func nextSlot(at now: Timestamp) -> Int128 {
        max(Int128(now) * n, slots.last.map { $0 + period } ?? 0)
    }
}
