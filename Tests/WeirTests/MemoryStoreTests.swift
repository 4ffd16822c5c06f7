import Foundation
import Synchronization
import Testing
@testable import Weir
import WeirTesting

@Suite("The memory store")
struct MemoryStoreTests {
    @Test("conforms", arguments: StoreConformance.cases)
    func conforms(_ rule: StoreConformance.Case) async throws {
        let clock = ManualClock()
        try await rule.run(on: MemoryStore(clock: clock), clock)
    }

    /// All that a decision says, but for its receipt, which is one store's own.
    private func fields(of decision: Decision) -> Decision {
        Decision(
            isAllowed: decision.isAllowed, quota: decision.quota, remaining: decision.remaining,
            resetTicks: decision.resetTicks, retryTicks: decision.retryTicks, delayTicks: decision.delayTicks,
            timestamp: decision.timestamp, charged: decision.receipt == nil ? nil : 1)
    }

    @Test("decides alike by the short way, for one token bucket whose numbers fit 64 bits, and by the long")
    func shortWay() throws {
        let seed = UInt64.random(in: 0 ... .max)
        var generator = SeededGenerator(seed)
        let clock = ManualClock()
        let short = MemoryStore(clock: clock)
        let long = MemoryStore(clock: clock, keyHasher: short.keyHasher)
        let beside = Charge(
            try Limit("beside", Rate(1_000_000_000, perTicks: 1)).numbers, key: Key(high: 1, low: 2, partition: 3),
            cost: 0)
        /// Small numbers as often as large.
        func upTo(_ most: Int64) -> Int64 {
            max(1, Int64.random(in: 1...most, using: &generator) >> Int64.random(in: 0...44, using: &generator))
        }
        var shortDecisions = 0
        for _ in 0..<5_000 {
            let period = upTo(Rate.maximumPeriodTicks)
            let rate = try Rate(upTo(Rate.maximumCount), perTicks: period, burst: upTo(Rate.maximumCount))
            let limit = try Limit("limit", rate)
            let name = "key-\(Int.random(in: 0..<2000, using: &generator))"
            for _ in 0..<5 {
                let cost = upTo(Rate.maximumCount) - 1
                let back = upTo(10) == 1 ? period : 0
                clock.advance(by: .microseconds(Int64.random(in: -back...(1 + period / rate.count), using: &generator)))
                var decisions: [Decision] = []
                let key = short.keyHasher.key(name, seed: short.keyHasher.seed(for: limit.identity))
                _ = long.decide([Charge(limit.numbers, key: key, cost: cost), beside], into: &decisions)
                let decision = short.decideNow(Charge(limit.numbers, key: key, cost: cost))
                guard fields(of: decision) == fields(of: decisions[0]) else {
                    Issue.record("\(decision) is not \(decisions[0]); seed \(seed)")
                    return
                }
                if limit.numbers.smallCapacity >= 0 { shortDecisions += 1 }
            }
        }
        #expect(shortDecisions > 2_500)
    }

    /// Runs a body on so many threads at once.
    private func onThreads(_ count: Int, _ body: @escaping @Sendable (Int) -> Void) {
        let group = DispatchGroup()
        for index in 0..<count {
            group.enter()
            let thread = Thread {
                body(index)
                group.leave()
            }
            thread.start()
        }
        group.wait()
    }

    @Test("64 threads on one key admit exactly the limit", arguments: Algorithm.allCases)
    func exactUnderConcurrency(_ algorithm: Algorithm) throws {
        let count: Int64 = 1000
        let limit =
            algorithm == .concurrency
            ? try Limit("hot", concurrency: count)
            : try Limit("hot", Rate(count, perTicks: 86_400_000_000), algorithm: algorithm, maxWait: .zero)
        let limiter = Limiter(limit, store: MemoryStore(clock: ManualClock()))
        let admitted = Atomic<Int64>(0)
        onThreads(64) { _ in
            for _ in 0..<50 where limiter.attempt("key").isAllowed {
                admitted.wrappingAdd(1, ordering: .relaxed)
            }
        }
        // A leaky bucket that may not delay has room for one at an instant.
        #expect(admitted.load(ordering: .relaxed) == (algorithm == .leakyBucket ? 1 : count))
    }

    @Test("several limits stay all-or-nothing when many threads decide over them in different orders")
    func togetherUnderConcurrency() throws {
        let store = MemoryStore(clock: ManualClock())
        let limits = try (0..<4).map { try Limit("limit-\($0)", Rate(500 + Int64($0) * 100, perTicks: 86_400_000_000)) }
        let hasher = store.keyHasher
        let charges = limits.map { Charge($0.numbers, key: hasher.key("k", seed: hasher.seed(for: $0.identity))) }
        let admitted = Atomic<Int64>(0)
        onThreads(16) { thread in
            let mine = thread.isMultiple(of: 2) ? charges : charges.reversed()
            var decisions: [Decision] = []
            for _ in 0..<100 {
                _ = store.decide(mine, into: &decisions)
                if decisions.allSatisfy(\.isAllowed) { admitted.wrappingAdd(1, ordering: .relaxed) }
            }
        }
        #expect(admitted.load(ordering: .relaxed) == 500)
        for (index, charge) in charges.enumerated() {
            var peek = charge
            peek.cost = 0
            #expect(store.decideNow(peek).remaining == Int64(index) * 100)
        }
    }

    @Test("threads that refund and debit leave the sum right")
    func adjustmentsUnderConcurrency() throws {
        let limiter = Limiter(
            try Limit("sum", Rate(100_000, perTicks: 86_400_000_000), algorithm: .fixedWindow),
            store: MemoryStore(clock: ManualClock()))
        onThreads(8) { _ in
            for _ in 0..<200 {
                if let receipt = limiter.attempt("key", cost: 5).receipt { limiter.refund(receipt) }
                limiter.charge(2, to: "key")
            }
        }
        #expect(limiter.peek("key").remaining == 100_000 - 8 * 200 * 2)
    }

    @Test("holds no more keys than its capacity, and active keys are never forgotten for newcomers")
    func bounded() throws {
        let clock = ManualClock()
        let store = MemoryStore(capacity: 1000, clock: clock)
        let limiter = Limiter(try Limit("bounded", .perMinute(2)), store: store)
        for index in 0..<1000 { _ = limiter.attempt("active-\(index)", cost: 2) }
        #expect(store.statistics.keys == 1000)
        var admitted = 0
        for index in 0..<5000 where limiter.attempt("newcomer-\(index)").isAllowed { admitted += 1 }
        #expect(admitted == 2, "newcomers share one budget")
        #expect(store.statistics.keys <= 1001)
        #expect(store.statistics.sharedBudgetDecisions == 5000)
        for index in 0..<1000 { #expect(!limiter.attempt("active-\(index)").isAllowed) }
    }

    @Test("keys that have recovered make room for newcomers")
    func recoveredKeysGo() throws {
        let clock = ManualClock()
        let store = MemoryStore(capacity: 1000, clock: clock)
        for algorithm in Algorithm.allCases where algorithm != .concurrency {
            let limiter = Limiter(try Limit("r", .perMinute(5), algorithm: algorithm), store: store)
            for index in 0..<1000 { _ = limiter.attempt("old-\(index)") }
            clock.advance(by: .seconds(120))
            var admitted = 0
            for index in 0..<1000 where limiter.attempt("new-\(index)").isAllowed { admitted += 1 }
            #expect(admitted == 1000, "\(algorithm)")
            clock.advance(by: .seconds(120))
        }
    }

    @Test("a flood of random keys leaves no memory behind once they have recovered")
    func memoryIsGivenBack() throws {
        let clock = ManualClock()
        let store = MemoryStore(capacity: 200_000, clock: clock)
        let limiter = Limiter(try Limit("flood", .perMinute(5)), store: store)
        let empty = store.memoryUsage
        for index in 0..<200_000 { _ = limiter.attempt("random-\(index)") }
        let full = store.memoryUsage
        #expect(full > 200_000 * 24)
        clock.advance(by: .seconds(60))
        store.maintain(segments: 8192)
        #expect(store.statistics.keys == 0)
        #expect(store.memoryUsage == empty)
    }

    @Test(
        "a round of upkeep sweeps every segment, however many calls it takes",
        arguments: [Int.min, -1, 0, 1, 2, 3, 20, 63, 64, 65, 409, 1000, .max])
    func upkeepByShares(_ share: Int) throws {
        let clock = ManualClock()
        let store = MemoryStore(capacity: 10_000, clock: clock)
        let limiter = Limiter(try Limit("flood", .perMinute(5)), store: store)
        for index in 0..<5000 { _ = limiter.attempt("random-\(index)") }
        #expect(store.report.memory?.keys == 5000)
        clock.advance(by: .seconds(60))
        // There are 64 segments, so 64 calls sweep them all even when a round has more calls than that.
        for call in 0..<min(max(1, share), 64) {
            let before = store.statistics.keys
            store.maintain(share: share)
            #expect(store.statistics.keys < before || before == 0, "call \(call) sweeps no segment")
        }
        #expect(store.statistics.keys == 0)
        #expect(store.report.memory?.dropped == 5000)
    }

    @Test("reports its own numbers, never fails and looks nobody up; another store has defaults")
    func report() throws {
        let store = MemoryStore(capacity: 1, clock: ManualClock())
        let limiter = Limiter(try Limit("r", .perMinute(10)), store: store)
        for key in ["a", "b", "c"] { _ = limiter.attempt(key) }
        // The key of its own, and the one that newcomers share.
        #expect(store.report == StoreReport(memory: .init(keys: 2, dropped: 0, sharedBudgetDecisions: 2)))
        #expect(!store.canFail)
        #expect(store.clientDirectory == nil)
        let other = RemoteStub()
        #expect(other.report == StoreReport())
        #expect(other.canFail)
        #expect(other.clientDirectory == nil)
        other.maintain(share: 0)
    }

    /// A store that implements nothing that has a default.
    private struct RemoteStub: Store {
        let keyHasher = KeyHasher()

        func decide(_ charges: [Charge], into decisions: inout [Decision]) -> PendingAnswer<DecisionResult>? { nil }

        func apply(_ adjustment: Adjustment) -> StoreAnswer<Bool> { .decided(false) }
    }

    @Test("ordinary traffic sweeps recovered keys without anybody calling maintain")
    func trafficSweeps() throws {
        let clock = ManualClock()
        let store = MemoryStore(capacity: 100_000, clock: clock)
        let limiter = Limiter(try Limit("flood", .perMinute(5)), store: store)
        for index in 0..<50_000 { _ = limiter.attempt("random-\(index)") }
        clock.advance(by: .seconds(60))
        for index in 0..<200_000 { _ = limiter.peek("usual-\(index % 100)") }
        for index in 0..<200_000 { _ = limiter.peek("peek-\(index)") }
        #expect(store.statistics.keys < 5_000)
    }

    @Test("a table survives any order of insertions and removals")
    func tableAgainstADictionary() throws {
        let clock = ManualClock()
        let store = MemoryStore(capacity: 10_000, clock: clock)
        let limiter = Limiter(try Limit("t", .perHour(50), algorithm: .fixedWindow), store: store)
        var random = SeededGenerator(7)
        var counts: [String: Int64] = [:]
        for _ in 0..<50_000 {
            let key = "key-\(Int.random(in: 0..<2000, using: &random))"
            if Int.random(in: 0..<3, using: &random) == 0 {
                limiter.reset(key)
                counts[key] = nil
            } else {
                _ = limiter.attempt(key)
                counts[key] = min(50, counts[key, default: 0] + 1)
            }
        }
        for (key, count) in counts { #expect(limiter.peek(key).remaining == 50 - count) }
        #expect(store.statistics.keys == counts.count)
    }

    @Test("a receipt is redeemed at most once, whatever the order, even when thousands are open")
    func receiptsOnce() throws {
        let limiter = Limiter(
            try Limit("r", Rate(1_000_000, perTicks: 86_400_000_000), algorithm: .fixedWindow),
            store: MemoryStore(clock: ManualClock()))
        var receipts: [Attempt.Receipt] = []
        for _ in 0..<10_000 { receipts.append(try #require(limiter.attempt("key").receipt)) }
        var random = SeededGenerator(11)
        var redeemed = 0
        for receipt in (receipts + receipts).shuffled(using: &random) where limiter.refund(receipt) {
            redeemed += 1
        }
        #expect(redeemed <= 10_000)
        #expect(limiter.peek("key").remaining == 1_000_000 - 10_000 + Int64(redeemed))
    }

    @Test("a receipt of a key's own is never redeemed on the budget that newcomers share")
    func receiptsOfTheSharedBudget() throws {
        let store = MemoryStore(capacity: 1, clock: ManualClock())
        let limiter = Limiter(try Limit("r", .perMinute(10)), store: store)
        let own = try #require(limiter.attempt("a", cost: 5).receipt)
        let shared = try #require(limiter.attempt("b", cost: 10).receipt)
        #expect(limiter.refund(own))
        #expect(!limiter.refund(own))
        #expect(limiter.peek("c").remaining == 0, "the shared budget is still spent")
        #expect(limiter.refund(shared))
        #expect(!limiter.refund(shared))
        #expect(limiter.peek("c").remaining == 10)
    }

    @Test("a smaller tier that looks at a sliding window forgets nothing of it")
    func slidingWindowTiers() throws {
        let clock = ManualClock(atTicks: 999_999)
        let store = MemoryStore(clock: clock)
        let wide = Limiter(try Limit("w", .perSecond(97), algorithm: .slidingWindow), store: store)
        let narrow = Limiter(try Limit("w", .perSecond(3), algorithm: .slidingWindow), store: store)
        #expect(wide.attempt("key", cost: 97).isAllowed)
        clock.set(to: Instant(microseconds: 1_000_000))
        _ = narrow.peek("key")
        #expect(!wide.attempt("key", cost: 94).isAllowed)
    }

    @Test("keys that differ are hashed apart, and dimensions are kept apart by their lengths")
    func hashing() {
        let hasher = KeyHasher()
        var seen: Set<UInt64> = []
        for length in 0..<64 {
            seen.insert(hasher.hash(String(repeating: "a", count: length), seed: 1))
            seen.insert(hasher.hash(String(repeating: "\u{0}", count: length), seed: 1))
        }
        #expect(seen.count == 127, "the two empty strings are the same key")
        let left = hasher.hash("c", seed: hasher.hash("ab", seed: 1))
        let right = hasher.hash("bc", seed: hasher.hash("a", seed: 1))
        #expect(left != right)
        #expect(KeyHasher().hash("a", seed: 1) != hasher.hash("a", seed: 1), "every process has secrets of its own")
    }
}
