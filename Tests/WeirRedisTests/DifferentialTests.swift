import Foundation
import NIOCore
import TestSupport
import Testing
import Weir
import WeirTesting

@testable import WeirRedis

extension Redis {
    /// The memory store and the shared store are fed the same operations at the same times.
    @Suite("Memory and Redis", .serialized)
    struct DifferentialTests {
        static let operations = ProcessInfo.processInfo.environment["WEIR_OPERATIONS"].flatMap { Int($0) } ?? 4000

        struct Random: RandomNumberGenerator {
            var state: UInt64

            mutating func next() -> UInt64 {
                state ^= state << 13
                state ^= state >> 7
                state ^= state << 17
                return state &* 0x2545_F491_4F6C_DD1D
            }

            mutating func below(_ bound: Int) -> Int { Int.random(in: 0..<bound, using: &self) }

            /// Small numbers as often as large.
            mutating func upTo(_ most: Int64) -> Int64 {
                max(1, Int64.random(in: 1...most, using: &self) >> Int64(below(44)))
            }
        }

        /// All that a decision says, but for its receipt, which is one store's own.
        private func fields(_ decision: Decision) -> Decision {
            Decision(
                isAllowed: decision.isAllowed, quota: decision.quota, remaining: decision.remaining,
                resetTicks: decision.resetTicks, retryTicks: decision.retryTicks, delayTicks: decision.delayTicks,
                timestamp: decision.timestamp, charged: decision.receipt == nil ? nil : 1)
        }

        private func randomLimit(_ algorithm: Algorithm, _ random: inout Random) throws -> Limit {
            if algorithm == .concurrency { return try Limit("flight", concurrency: 1 + Int64(random.below(5))) }
            // Periods are part of a state's identity, so there are few of them.
            let period: Timestamp =
                [1, 7, 1000, 60_000_000, 86_400_000_000, Rate.maximumPeriodTicks][random.below(6)]
            let usual = random.below(3) > 0
            let count = usual ? 1 + Int64(random.below(12)) : random.upTo(Rate.maximumCount)
            let burst = usual ? 1 + Int64(random.below(12)) : random.upTo(Rate.maximumCount)
            // A log keeps an entry for each instant, and a leaky bucket of many slots is never full.
            return try Limit(
                "limit-\(period)", Rate(count, perTicks: period, burst: burst), algorithm: algorithm,
                maxWait: .microseconds([0, 1000, 1_000_000, 60_000_000][random.below(4)]),
                alignment: random.below(2) == 0 ? .epoch : .firstRequest)
        }

        /// The clock doesn't go back: of what has recovered, each store remembers as much as it has room for.
        @Test(
            "give the same decision in every field; with denials remembered, the same verdict",
            arguments: [(RedisServer.Product.redis, false), (.redis, true), (.valkey, false)])
        func agree(_ product: RedisServer.Product, remembersDenials: Bool) async throws {
            let server = try await RedisServer(try Folder(), product)
            let clock = ManualClock(atTicks: Timestamp(Date().timeIntervalSince1970 * 1_000_000))
            let redis = try await makeStore(server.url) {
                $0.clock = clock
                $0.cachesDenials = remembersDenials
                $0.slack = 3_600_000
                $0.permitLease = .seconds(1000000000)
            }
            let memory = MemoryStore(clock: clock, keyHasher: KeyHasher())
            let seed =
                ProcessInfo.processInfo.environment["WEIR_SEED"].flatMap { UInt64($0) } ?? UInt64.random(in: 1 ... .max)
            // When a key was last reset: a shared store takes what was charged before by its time.
            var latestReset: Timestamp = 0
            var history: [String: [String]] = [:]
            func note(_ limit: Limit, _ key: String, _ what: String) {
                history[limit.identity + key, default: []].append(
                    "\(clock.timestamp) \(what) n=\(limit.numbers.count) burst=\(limit.numbers.burst)")
            }
            var random = Random(state: seed)
            var receipts: [(memory: (Charge, Receipt), redis: (Charge, Receipt))] = []
            var holds: [(name: String, memory: (Charge, Receipt), redis: (Charge, Receipt))] = []
            var denials = 0
            for number in 0..<Self.operations {
                clock.advance(by: .microseconds(random.below(4) == 0 ? 0 : random.upTo(100_000_000)))
                let algorithm = Algorithm.allCases[random.below(Algorithm.allCases.count)]
                let limit = try randomLimit(algorithm, &random)
                let key = "key-\(random.below(6))"
                func charge(_ hasher: KeyHasher, _ limit: Limit, cost: Int64) -> Charge {
                    Charge(limit.numbers, key: hasher.key(key, seed: hasher.seed(for: limit.identity)), cost: cost)
                }
                let cost = random.below(20) == 0 ? random.upTo(Rate.maximumCount) : Int64(random.below(5))
                switch random.below(20) {
                case 0:
                    note(limit, key, "debit \(cost)")
                    let inMemory = memory.applyNow(.debit(charge(memory.keyHasher, limit, cost: cost)))
                    let inRedis = try await redis.apply(.debit(charge(redis.keyHasher, limit, cost: cost))).value
                    #expect(inMemory == inRedis, "debit \(number), seed \(seed): \(limit)")
                case 1, 2:
                    guard !receipts.isEmpty else { continue }
                    let (mine, theirs) = receipts.remove(at: random.below(receipts.count))
                    let inMemory = memory.applyNow(.refund(mine.0, mine.1))
                    let inRedis = try await redis.apply(.refund(theirs.0, theirs.1)).value
                    #expect(inMemory == inRedis, "refund \(number), seed \(seed): \(mine)")
                    if random.below(2) == 0 { receipts.append((mine, theirs)) }
                case 4:
                    note(limit, key, "credit \(cost)")
                    let inMemory = memory.applyNow(.credit(charge(memory.keyHasher, limit, cost: cost)))
                    let inRedis = try await redis.apply(.credit(charge(redis.keyHasher, limit, cost: cost))).value
                    #expect(inMemory == inRedis, "credit \(number), seed \(seed): \(limit)")
                case 5, 6, 7:
                    guard !holds.isEmpty else { continue }
                    let (name, mine, theirs) = holds.remove(at: random.below(holds.count))
                    let actual = random.below(4) == 0 ? random.upTo(Rate.maximumCount) : Int64(random.below(40))
                    history[name, default: []].append(
                        "\(clock.timestamp) settle \(mine.0.cost) at \(actual) n=\(mine.0.numbers.count) burst=\(mine.0.numbers.burst)"
                    )
                    let inMemory = memory.applyNow(.settle(mine.0, mine.1, actual: actual))
                    let inRedis = try await redis.apply(.settle(theirs.0, theirs.1, actual: actual)).value
                    #expect(inMemory == inRedis, "settlement \(number), seed \(seed): \(mine)")
                    if random.below(4) == 0 { holds.append((name, mine, theirs)) }
                case 3 where random.below(3) == 0:
                    let inMemory = memory.applyNow(.reset(limit.numbers, charge(memory.keyHasher, limit, cost: 0).key))
                    let inRedis = try await redis.apply(
                        .reset(limit.numbers, charge(redis.keyHasher, limit, cost: 0).key)
                    ).value
                    #expect(inMemory == inRedis, "reset \(number), seed \(seed): \(limit)")
                    latestReset = max(latestReset, clock.timestamp)
                    note(limit, key, "reset")
                default:
                    var pairs = [
                        (charge(memory.keyHasher, limit, cost: cost), charge(redis.keyHasher, limit, cost: cost))
                    ]
                    var names = [limit.identity]
                    while random.below(3) == 0, pairs.count < 4 {
                        let other = try randomLimit(Algorithm.allCases[random.below(Algorithm.allCases.count)], &random)
                        guard !names.contains(other.identity) else { continue }
                        names.append(other.identity)
                        pairs.append(
                            (charge(memory.keyHasher, other, cost: cost), charge(redis.keyHasher, other, cost: cost)))
                    }
                    for index in pairs.indices {
                        let isShadow = pairs.count > 1 && random.below(4) == 0
                        let countsDenied = random.below(5) == 0
                        let required = random.below(5) == 0 ? cost + Int64(random.below(3)) : cost
                        pairs[index].0.isShadow = isShadow
                        pairs[index].1.isShadow = isShadow
                        pairs[index].0.countsDenied = countsDenied
                        pairs[index].1.countsDenied = countsDenied
                        pairs[index].0.required = max(pairs[index].0.cost, required)
                        pairs[index].1.required = max(pairs[index].1.cost, required)
                        guard pairs[index].0.numbers.algorithm != .concurrency else { continue }
                        let isHold = random.below(3) == 0
                        pairs[index].0.isHold = isHold
                        pairs[index].1.isHold = isHold
                        // Any of the keys may have units that are held.
                        pairs[index].0.countsHolds = true
                        pairs[index].1.countsHolds = !holds.isEmpty || isHold || random.below(2) == 0
                    }
                    for (index, name) in names.enumerated() {
                        let numbers = pairs[index].0.numbers
                        history[name + key, default: []].append(
                            "\(clock.timestamp) decide \(cost) required \(pairs[index].0.required) hold=\(pairs[index].0.isHold) of \(pairs.count) n=\(numbers.count) burst=\(numbers.burst) shadow=\(pairs[index].0.isShadow) penal=\(pairs[index].0.countsDenied)"
                        )
                    }
                    let inMemory = try await memory.decide(pairs.map(\.0))
                    let inRedis = try await redis.decide(pairs.map(\.1))
                    func passes(_ decisions: [Decision]) -> Bool {
                        zip(pairs, decisions).allSatisfy { $0.0.isShadow || $1.isAllowed }
                    }
                    let agree =
                        remembersDenials
                        ? passes(inMemory) == passes(inRedis) : inMemory.map(fields) == inRedis.map(fields)
                    guard agree else {
                        for (index, name) in names.enumerated() where fields(inMemory[index]) != fields(inRedis[index])
                        {
                            print(name, history[name + key, default: []].suffix(14).joined(separator: "\n"))
                        }
                        Issue.record(
                            "operation \(number), seed \(seed): memory \(inMemory), redis \(inRedis) of \(pairs.map(\.0))"
                        )
                        return
                    }
                    denials += inMemory.count { !$0.isAllowed }
                    for (index, pair) in pairs.enumerated() {
                        guard let mine = inMemory[index].receipt, let theirs = inRedis[index].receipt else { continue }
                        if pair.0.isHold {
                            holds.append((names[index] + key, (pair.0, mine), (pair.1, theirs)))
                            continue
                        }
                        // Which came first in one tick, a charge or a reset, a shared store can't tell.
                        if clock.timestamp > latestReset { receipts.append(((pair.0, mine), (pair.1, theirs))) }
                    }
                    if receipts.count > 40 { receipts.removeFirst(receipts.count - 40) }
                }
            }
            #expect(denials > Self.operations / 50)
            if !remembersDenials { #expect(redis.statistics.answeredLocally == 0) }
        }

        @Test("a bucket whose time outgrows 52 bits between two operations of a call is written")
        func outgrows() async throws {
            let server = try await RedisServer(try Folder())
            let clock = ManualClock(atTicks: 4_503_598_579_803_861)
            let redis = try await makeStore(server.url) { $0.clock = clock }
            let day: Timestamp = 86_400_000_000
            let limit = try Limit("a", Rate(7, perTicks: day, burst: 5))
            let key = redis.keyHasher.key("k", seed: redis.keyHasher.seed(for: limit.identity))
            let charge = Charge(limit.numbers, key: key)
            // The same limit with other numbers, which bring the state to whole ticks above 2^52.
            let changed = Charge(try Limit("a", Rate(1, perTicks: day, burst: 5)).numbers, key: key)
            let receipt = Receipt(time: clock.timestamp - 1000, delay: 0, sequence: 5)
            let (reset, decided, refunded) = try await redis.client.loop.submit {
                (
                    redis.client.apply(.reset(limit.numbers, key)), redis.client.ask([charge], at: .now()),
                    redis.client.apply(.refund(changed, receipt))
                )
            }.get()
            _ = try await reset.value
            #expect(try await decided.value.get()[0].isAllowed)
            _ = try await refunded.value
        }

        /// Now, and when times begin to need more than 52 bits.
        static let starts: [Timestamp] = [
            Timestamp(Date().timeIntervalSince1970 * 1_000_000), (1 << 52) - 1_000_000_000,
        ]

        @Test("give the same decisions to requests that share a call, about few keys or many", arguments: starts)
        func agreeInBatches(start: Timestamp) async throws {
            let server = try await RedisServer(try Folder())
            let clock = ManualClock(atTicks: start)
            let redis = try await makeStore(server.url) {
                $0.clock = clock
                $0.cachesDenials = false
                $0.slack = 3_600_000
            }
            let memory = MemoryStore(clock: clock, keyHasher: KeyHasher())
            let seed =
                ProcessInfo.processInfo.environment["WEIR_SEED"].flatMap { UInt64($0) } ?? UInt64.random(in: 1 ... .max)
            var random = Random(state: seed)
            // Rates that divide evenly and others, roomy and narrow, and one whose times need more than 52 bits.
            let limits =
                try [
                    Rate(10, perTicks: 1_000_000), Rate(7, perTicks: 1_000_000), Rate(3, perTicks: 60_000_000),
                    Rate(1_000_000, perTicks: 1_000_000), Rate(Rate.maximumCount, perTicks: Rate.maximumPeriodTicks),
                ].enumerated().map { try Limit("limit-\($0)", $1) } + [
                    Limit("window", .perSecond(5), algorithm: .fixedWindow)
                ]
            for batch in 0..<(Self.operations / 20) {
                clock.advance(by: .microseconds(random.below(3) == 0 ? 0 : random.upTo(10_000_000)))
                let keys = [1, 2, 3, 40][random.below(4)]
                let usual = limits[random.below(limits.count)]
                let requests = (0..<(1 + random.below(40))).map { _ in
                    let key = "key-\(random.below(keys))"
                    // One limit mostly, else up to four, of which one may be there twice.
                    let own =
                        random.below(4) == 0
                        ? [usual] + (0..<(1 + random.below(3))).map { _ in limits[random.below(limits.count)] }
                        : [usual]
                    let cost = random.below(4) == 0 ? Int64(random.below(4)) : 1
                    let countsDenied = random.below(10) == 0
                    let shadow = random.below(5) == 0 ? random.below(own.count) : -1
                    func charges(_ hasher: KeyHasher) -> [Charge] {
                        own.enumerated().map { index, limit in
                            var charge = Charge(
                                limit.numbers, key: hasher.key(key, seed: hasher.seed(for: limit.identity)), cost: cost)
                            charge.countsDenied = countsDenied
                            charge.isShadow = own.count > 1 && index == shadow
                            return charge
                        }
                    }
                    return (memory: charges(memory.keyHasher), redis: charges(redis.keyHasher))
                }
                // Now and then something else about one of the keys comes between.
                let adjusted = random.below(3) == 0 ? random.below(requests.count) : -1
                let other = random.below(requests.count)
                let isReset = random.below(2) == 0
                @Sendable func adjustment(_ charge: Charge) -> Adjustment {
                    isReset ? .reset(charge.numbers, charge.key) : .debit(charge)
                }
                // What is submitted in one turn of the loop is sent in one call.
                let (answers, change) = try await redis.client.loop.submit {
                    var change: StoreAnswer<Bool>?
                    let answers = requests.enumerated().map { number, request in
                        if number == adjusted { change = redis.client.apply(adjustment(requests[other].redis[0])) }
                        return redis.client.ask(request.redis, at: .now())
                    }
                    return (answers, change)
                }.get()
                for (number, request) in requests.enumerated() {
                    if number == adjusted {
                        let inMemory = memory.applyNow(adjustment(requests[other].memory[0]))
                        let inRedis = try await change?.value
                        #expect(inMemory == inRedis, "change before \(number) of batch \(batch), seed \(seed)")
                    }
                    let inMemory = try await memory.decide(request.memory).map(fields)
                    let inRedis = try await answers[number].value.get().map(fields)
                    guard inMemory == inRedis else {
                        Issue.record(
                            "request \(number) of batch \(batch), seed \(seed): memory \(inMemory), redis \(inRedis) of \(request.memory)"
                        )
                        return
                    }
                }
            }
        }
    }
}
