import Weir

/// A naive and exact judge of one key: it keeps the list of all that was spent, and of what requests under way hold,
/// and asks for every request what the algorithm's promise says about these lists. None of the engine's code is used.
/// What is spent after the fact may be debt.
struct Oracle {
    struct Verdict: Equatable {
        var isAllowed: Bool
        var delay: Timestamp = 0
    }

    let limit: Limit
    /// Time and cost of all that was charged.
    var admitted: [(time: Timestamp, cost: Int64)] = []
    /// A leaky bucket's slots: exact instants, times n.
    var slots: [Int128] = []
    /// The units that requests under way hold.
    var holds: [Int64] = []

    private var held: Int128 { holds.reduce(0) { $0 + Int128($1) } }

    private var n: Int128 { Int128(limit.numbers.count) }
    private var period: Int128 { Int128(limit.numbers.period) }

    init(_ limit: Limit) {
        self.limit = limit
    }

    /// Judges a request and, when it is allowed, adds it to one of the lists.
    mutating func decide(at now: Timestamp, cost: Int64, isHold: Bool = false) -> Verdict {
        let verdict = judge(at: now, cost: cost)
        guard verdict.isAllowed, cost > 0 else { return verdict }
        if isHold { holds.append(cost) } else { spend(cost, at: now) }
        return verdict
    }

    /// Ends the oldest hold, and spends what the request really cost.
    mutating func settle(at now: Timestamp, actual: Int64) {
        holds.removeFirst()
        spend(actual, at: now)
    }

    mutating func spend(_ cost: Int64, at now: Timestamp) {
        guard cost > 0 else { return }
        for _ in 0..<(limit.algorithm == .leakyBucket ? cost : 0) { slots.append(nextSlot(at: now)) }
        admitted.append((now, cost))
    }

    func judge(at now: Timestamp, cost: Int64) -> Verdict {
        let wanted = Int128(cost) + held
        switch limit.algorithm.kind {
        case .tokenBucket: return Verdict(isAllowed: bucketAllows(at: now, units: wanted))
        case .fixedWindow: return Verdict(isAllowed: used(since: windowStart(at: now)) + wanted <= n)
        case .slidingLog: return Verdict(isAllowed: used(since: Int128(now) - period + 1) + wanted <= n)
        case .slidingWindow: return Verdict(isAllowed: scaledEstimate(at: now) + wanted * period <= n * period)
        case .leakyBucket:
            let wait = (nextSlot(at: now) + held * period - Int128(now) * n + n - 1) / n
            // What asks for nothing is denied by debt only, which begins one capacity behind the longest wait.
            let most = Int128(limit.numbers.maxWait) + (cost == 0 ? period : 0)
            let allowed = Int128(cost) <= n && wait <= most
            return Verdict(isAllowed: allowed, delay: allowed && cost > 0 ? Timestamp(wait) : 0)
        case .concurrency: return Verdict(isAllowed: cost == 0 || used(since: 0) + Int128(cost) <= n)
        }
    }

    /// Whether waiting long enough would let a request pass, while what is held stays.
    func mayPassLater(cost: Int64) -> Bool {
        guard limit.algorithm != .leakyBucket else {
            let most = Int128(limit.numbers.maxWait) * n + (cost == 0 ? period * n : 0)
            return Int128(cost) <= n && held * period <= most
        }
        return Int128(cost) + held <= Int128(limit.numbers.capacity)
    }

    /// How many requests of cost 1 would pass now, by trying.
    func remaining(at now: Timestamp, most: Int64) -> Int64 {
        var copy = self
        var count: Int64 = 0
        while count < most, copy.decide(at: now, cost: 1).isAllowed { count += 1 }
        return count
    }

    /// Whether everything is back: nothing that was admitted matters any more.
    func isReset(at now: Timestamp) -> Bool {
        switch limit.algorithm.kind {
        case .tokenBucket: bucketAllows(at: now, units: Int128(limit.numbers.burst))
        case .fixedWindow: used(since: windowStart(at: now)) == 0
        case .slidingLog: used(since: Int128(now) - period + 1) == 0
        case .slidingWindow: scaledEstimate(at: now) == 0
        case .leakyBucket: (slots.last.map { $0 + period } ?? 0) <= Int128(now) * n
        case .concurrency: used(since: 0) == 0
        }
    }

    /// Admitted ≤ burst + rate × Δ, over every Δ that begins with an admitted request.
    private func bucketAllows(at now: Timestamp, units: Int128) -> Bool {
        let burst = Int128(limit.numbers.burst)
        var sum = units
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
        // Debt ends with its window.
        let previous = min(n, used(since: start - period) - current)
        return previous * (period - (Int128(now) - start)) + current * period
    }

    private func nextSlot(at now: Timestamp) -> Int128 {
        max(Int128(now) * n, slots.last.map { $0 + period } ?? 0)
    }
}
