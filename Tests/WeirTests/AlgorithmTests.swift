import Foundation
import Testing
@testable import Weir
import WeirTesting

/// A generator whose whole sequence follows from its seed, so that a failing seed replays the failure.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(_ seed: UInt64) { state = seed &* 0x9E37_79B9_7F4A_7C15 | 1 }

    mutating func next() -> UInt64 {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return state &* 0x2545_F491_4F6C_DD1D
    }
}

@Suite("Algorithms against a naive exact oracle")
struct AlgorithmTests {
    /// Fewer under a sanitizer, which makes each many times slower.
    static let sequences = ProcessInfo.processInfo.environment["WEIR_SEQUENCES"].flatMap { Int($0) } ?? 10_000

    @Test("every field of every decision is what the oracle says", arguments: Algorithm.allCases)
    func agreesWithTheOracle(_ algorithm: Algorithm) throws { try agree(algorithm, withHolds: false) }

    @Test(
        "the same while requests hold units, and are settled into debt",
        arguments: Algorithm.allCases.filter { $0 != .concurrency })
    func agreesWithHolds(_ algorithm: Algorithm) throws { try agree(algorithm, withHolds: true) }

    private func agree(_ algorithm: Algorithm, withHolds: Bool) throws {
        let first = UInt64.random(in: 0...UInt64.max / 2)
        for seed in first..<(first + UInt64(Self.sequences)) {
            if let difference = try difference(algorithm, withHolds: withHolds, seed: seed) {
                Issue.record("seed \(seed): \(difference)")
                return
            }
        }
    }

    /// Puts one random sequence through the store and the oracle. Returns where they differ.
    private func difference(_ algorithm: Algorithm, withHolds: Bool, seed: UInt64) throws -> String? {
        var random = SeededGenerator(seed)
        let limit = try randomLimit(algorithm, &random)
        let clock = ManualClock(atTicks: Timestamp.random(in: 0...3_000_000_000_000_000, using: &random))
        let store = MemoryStore(capacity: 64, clock: clock)
        let key = store.keyHasher.key("key", seed: store.keyHasher.seed(for: limit.identity))
        var oracle = Oracle(limit)
        var holds: [(charge: Charge, receipt: Receipt)] = []
        for step in 0..<24 {
            clock.advance(by: .microseconds(randomStep(limit, at: clock.timestamp, &random)))
            let cost = randomCost(limit, &random)
            let now = clock.timestamp
            if withHolds, let hold = holds.first, Int.random(in: 0..<3, using: &random) == 0 {
                // A leaky bucket's debt has its own bound, which this oracle doesn't know.
                let most = algorithm == .leakyBucket ? 1 : 3 * limit.numbers.capacity
                let actual = Int64.random(in: 0...most, using: &random)
                store.applyNow(.settle(hold.charge, hold.receipt, actual: actual))
                guard !store.applyNow(.settle(hold.charge, hold.receipt, actual: actual)) else {
                    return "seed \(seed): a hold was settled twice"
                }
                holds.removeFirst()
                oracle.settle(at: now, actual: actual)
            }
            let isHold = withHolds && Bool.random(using: &random)
            let charge = Charge(limit.numbers, key: key, cost: cost, isHold: isHold)
            let decision = store.decideNow(charge)
            if isHold, let receipt = decision.receipt { holds.append((charge, receipt)) }
            let verdict = oracle.decide(at: now, cost: cost, isHold: isHold)
            let place = "\(limit.numbers) step \(step) cost \(cost) at \(now), holds \(oracle.holds): \(decision)"
            guard decision.isAllowed == verdict.isAllowed else { return "\(place); allowed is \(verdict.isAllowed)" }
            // Charged, a request's own slots aren't before it.
            guard decision.delayTicks == verdict.delay else { return "\(place); delay is \(verdict.delay)" }
            let most: Int64 = 100
            let remaining = oracle.remaining(at: now, most: most)
            guard min(decision.remaining, most) == remaining else { return "\(place); remaining is \(remaining)" }
            guard algorithm != .concurrency else { continue }
            guard let reset = decision.resetTicks.map(Timestamp.init(_:)), oracle.isReset(at: now + reset),
                reset == 0 || !oracle.isReset(at: now + reset - 1)
            else { return "\(place); resetAfter is wrong" }
            if decision.isAllowed || !oracle.mayPassLater(cost: cost) {
                guard decision.retryAfter == nil else { return "\(place); retryAfter should be nil" }
            } else {
                guard let wait = decision.retryTicks.map(Timestamp.init(_:)), wait > 0,
                    oracle.judge(at: now + wait, cost: cost).isAllowed,
                    !oracle.judge(at: now + wait - 1, cost: cost).isAllowed
                else { return "\(place); retryAfter is wrong" }
            }
        }
        return nil
    }

    private func randomLimit(_ algorithm: Algorithm, _ random: inout SeededGenerator) throws -> Limit {
        let count = Int64.random(in: 1...12, using: &random)
        if algorithm == .concurrency { return try Limit("random", concurrency: count) }
        // Short and odd periods meet every boundary; long ones meet the remainders.
        let period = [
            Int64.random(in: 1...20, using: &random), Int64.random(in: 1...1000, using: &random), 1_000_000, 60_000_000,
        ].randomElement(using: &random)!
        return try Limit(
            "random", Rate(count, perTicks: period, burst: Int64.random(in: 1...15, using: &random)),
            algorithm: algorithm,
            maxWait: .microseconds(Int64.random(in: 0...min(60_000_000, 3 * period), using: &random)),
            alignment: Bool.random(using: &random) ? .epoch : .firstRequest)
    }

    /// Often no time at all, often to just before, at or after a window's end, sometimes far.
    private func randomStep(_ limit: Limit, at now: Timestamp, _ random: inout SeededGenerator) -> Timestamp {
        let period = max(1, limit.numbers.period)
        switch Int.random(in: 0..<6, using: &random) {
        case 0, 1: return 0
        case 2: return Int64.random(in: 0...max(1, period / limit.numbers.count), using: &random)
        case 3: return max(0, period - now % period + Int64.random(in: -1...1, using: &random))
        case 4: return Int64.random(in: 0...period, using: &random)
        default: return Int64.random(in: 0...3 * period, using: &random)
        }
    }

    private func randomCost(_ limit: Limit, _ random: inout SeededGenerator) -> Int64 {
        Bool.random(using: &random) ? 1 : Int64.random(in: 0...limit.numbers.capacity + 1, using: &random)
    }

    @Test(
        "the largest and smallest numbers of every algorithm meet every other without a trap",
        arguments: Algorithm.allCases)
    func extremes(_ algorithm: Algorithm) throws {
        let largest = Rate.maximumCount
        for count in [1, 7, largest] {
            for period in [1, 1_000_003, Rate.maximumPeriodTicks] {
                for burst in [1, largest] {
                    try meetExtremes(algorithm, count, period, burst)
                }
            }
        }
    }

    private func meetExtremes(_ algorithm: Algorithm, _ count: Int64, _ period: Timestamp, _ burst: Int64) throws {
        let limit =
            algorithm == .concurrency
            ? try Limit("extreme", concurrency: count)
            : try Limit(
                "extreme", Rate(count, perTicks: period, burst: burst), algorithm: algorithm, maxWait: .seconds(60))
        for start in [0, 1, Instant.max.microseconds - 1, Instant.max.microseconds, 1_790_000_000_000_001] {
            let clock = ManualClock(atTicks: start)
            let limiter = Limiter(limit, store: MemoryStore(capacity: 8, clock: clock))
            for cost in [Rate.maximumCount, 1, 0, Rate.maximumCount, .max, .min, -1, count, burst] {
                for time in [start, 0, Instant.max.microseconds, .max, .min, start] {
                    clock.set(to: Instant(microseconds: time))
                    let decision = limiter.attempt("key", cost: cost)
                    #expect(decision.remaining >= 0)
                    #expect((decision.retryAfter ?? .seconds(1)) > .zero)
                    #expect(limiter.peek("key", cost: cost).remaining >= 0)
                    limiter.charge(cost, to: "key")
                    if let receipt = decision.receipt { limiter.refund(receipt) }
                }
            }
        }
    }

    @Test("a bucket of 10^9 that refills once a year says exactly when it is full")
    func wideSpans() throws {
        let limit = try Limit("wide", Rate(1, perTicks: Rate.maximumPeriodTicks, burst: Rate.maximumCount))
        let limiter = Limiter(limit, store: MemoryStore(clock: ManualClock()))
        let decision = limiter.attempt("key", cost: Rate.maximumCount)
        #expect(decision.decision.resetTicks == Ticks(Rate.maximumPeriodTicks) * Ticks(Rate.maximumCount))
        #expect(limiter.attempt("key").decision.retryTicks == Ticks(Rate.maximumPeriodTicks))
    }

    @Test("multiplying by a reciprocal rounds up as dividing does")
    func reciprocal() {
        var random = SeededGenerator(3)
        for _ in 0..<100_000 {
            let divisor = max(
                1, Int64.random(in: 1 ... .max, using: &random) >> Int64.random(in: 0...62, using: &random))
            let near = Int64.max / divisor * divisor
            for value in [0, 1, divisor, near - 1, near, .max, Int64.random(in: 0 ... .max, using: &random)] {
                let (quotient, remainder) = value.quotientAndRemainder(dividingBy: divisor)
                let expected = quotient + (remainder > 0 ? 1 : 0)
                guard Reciprocal(of: divisor).dividingRoundingUp(value) != expected else { continue }
                Issue.record("\(value) by \(divisor)")
                return
            }
        }
    }

    @Test("a rate that doesn't divide evenly keeps its remainder: no drift over a million requests")
    func noDrift() throws {
        let clock = ManualClock(atTicks: 0)
        let limit = try Limit("drift", Rate(7, perTicks: 1_000_000, burst: 2))
        let limiter = Limiter(limit, store: MemoryStore(clock: clock))
        _ = limiter.attempt("key")
        // The k-th token is back at k × 1,000,000 ÷ 7 microseconds, rounded up, for ever.
        for number in 1...1_000_000 as ClosedRange<Int64> {
            guard limiter.attempt("key").isAllowed else {
                Issue.record("request \(number) is denied at its instant")
                return
            }
            let due = (number * 1_000_000 + 6) / 7
            guard limiter.attempt("key").decision.retryTicks == Ticks(due - clock.timestamp) else {
                Issue.record("retry-after of request \(number) has drifted")
                return
            }
            clock.set(to: Instant(microseconds: due))
        }
    }

    @Test("a limit's numbers out of range are errors that name them")
    func badNumbers() {
        #expect(throws: LimitError.self) { try Rate(0, perTicks: 1) }
        #expect(throws: LimitError.self) { try Rate(1_000_000_001, perTicks: 1) }
        #expect(throws: LimitError.self) { try Rate(1, perTicks: 0) }
        #expect(throws: LimitError.self) { try Rate(1, perTicks: Rate.maximumPeriodTicks + 1) }
        #expect(throws: LimitError.self) { try Rate(1, perTicks: 1, burst: 0) }
        #expect(throws: LimitError.self) { try Limit("a b", .perMinute(1)) }
        #expect(throws: LimitError.self) { try Limit("", .perMinute(1)) }
        #expect(throws: LimitError.self) { try Limit("x", concurrency: 0) }
        #expect(throws: LimitError.self) {
            try Limit("x", .perMinute(1), algorithm: .leakyBucket, maxWait: .microseconds(60000001))
        }
    }
}
