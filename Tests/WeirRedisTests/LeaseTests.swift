import Foundation
import NIOCore
import TestSupport
import Testing
import Weir

@testable import WeirRedis

/// What is borrowed and spent, without a server.
@Suite("Leased units")
struct LeasedUnitsTests {
    let leases = LeasedUnits()
    let limit: Limit
    var now = NIODeadline.uptimeNanoseconds(1_000_000_000_000)

    init() throws { limit = try Limit("a", .perMinute(1000)) }

    func charge(_ cost: Int64 = 1, _ limit: Limit? = nil, key: String = "k") -> Charge {
        let hasher = KeyHasher(sharedSecret: 1, 2)
        return Charge((limit ?? self.limit).numbers, key: hasher.key(key, seed: 7), cost: cost, isLeased: true)
    }

    mutating func advance(_ amount: TimeAmount) { now = now + amount }

    func spend(_ charge: Charge) -> LeasedUnits.Spending {
        var decisions: [Decision] = []
        return leases.spend(charge, at: now, into: &decisions)
    }

    /// Asks until it is time to borrow, and borrows. Returns how many units.
    mutating func borrow(_ charge: Charge, chunk: Int64, remaining: Int64 = 500, allowed: Bool = true) -> Int64? {
        for _ in 0..<10_000 {
            guard spend(charge).wantsMore else { continue }
            guard let units = leases.startBorrowing(charge, chunk: chunk) else { return nil }
            var wanted = charge
            wanted.cost = units
            let decision = Decision(
                isAllowed: allowed, quota: 1000, remaining: remaining, resetTicks: 30_000_000,
                retryTicks: allowed ? nil : 1000, timestamp: 59_500_000, charged: allowed ? 9 : nil)
            #expect(leases.borrowed(wanted, decision, sent: now, at: now) == nil)
            return units
        }
        return nil
    }

    @Test("a key that is asked for now and then is never borrowed for")
    mutating func cold() {
        for _ in 0..<100 {
            let spending = spend(charge())
            #expect(!spending.isDecided && !spending.wantsMore)
            advance(.milliseconds(400))
        }
    }

    @Test("a busy key is borrowed for, twice as much each time, and never more than the chunk is held")
    mutating func grows() throws {
        var sizes: [Int64] = []
        for _ in 0..<12 {
            sizes.append(try #require(borrow(charge(), chunk: 100)))
            #expect(leases.held(charge().key) <= 100)
        }
        #expect(sizes.prefix(5) == [4, 8, 16, 32, 50])
        #expect(leases.spent > 0)
    }

    @Test("a chunk of one is no better than asking")
    mutating func small() {
        #expect(borrow(charge(), chunk: 1) == nil)
        #expect(LeasedUnits.chunk(limit.numbers, sharers: 8) == 12)
        #expect(LeasedUnits.chunk(limit.numbers, sharers: 2000) == 1)
    }

    @Test("what is spent here says what is left, by the server's answer and what is held")
    mutating func decisions() throws {
        _ = try #require(borrow(charge(), chunk: 100))
        advance(.milliseconds(200))
        var decisions: [Decision] = []
        func spend(_ cost: Int64) -> Bool { leases.spend(charge(cost), at: now, into: &decisions).isDecided }
        #expect(spend(2) && spend(1))
        let decision = try #require(decisions.last)
        #expect(decision.isAllowed && decision.quota == 1000 && decision.remaining == 501)
        #expect(decision.resetTicks == 29_800_000 && decision.timestamp == 59_700_000)
        #expect(Set(decisions.map(\.receipt?.sequence)).subtracting([nil]).count == 2, "each charge has a name")
        #expect(!spend(2), "one is left")
        #expect(!spend(0), "only the server knows of debt")
        #expect(decisions.count == 2)
    }

    @Test("units live for a second and are given back then, all of them and once")
    mutating func expires() throws {
        let units = try #require(borrow(charge(), chunk: 100))
        _ = spend(charge())
        advance(.milliseconds(999))
        #expect(leases.sweep(at: now).isEmpty)
        advance(.milliseconds(1))
        let unspent = leases.sweep(at: now)
        #expect(unspent.map(\.charge.cost) == [units - 1] && unspent.first?.receipt.sequence == 9)
        #expect(leases.sweep(at: now).isEmpty && leases.held(charge().key) == 0)
    }

    @Test("units of a window end with it")
    mutating func windows() throws {
        for algorithm in [Algorithm.fixedWindow, .slidingWindow] {
            let limit = try Limit("w", .perMinute(1000), algorithm: algorithm)
            let charge = charge(1, limit, key: algorithm.rawValue)
            for _ in 0..<4 { _ = spend(charge) }
            let units = try #require(leases.startBorrowing(charge, chunk: 100))
            var wanted = charge
            wanted.cost = units
            // Half a second before the window's end.
            let decision = Decision(
                isAllowed: true, quota: 1000, remaining: 10,
                resetTicks: algorithm == .fixedWindow ? 500_000 : 60_000_000,
                timestamp: 59_500_000, charged: 1)
            #expect(leases.borrowed(wanted, decision, sent: now, at: now) == nil)
            #expect(spend(charge).isDecided)
            advance(.milliseconds(500))
            #expect(!spend(charge).isDecided)
            #expect(leases.borrowed(wanted, decision, sent: now - .milliseconds(500), at: now) != nil, "came too late")
        }
    }

    @Test("a borrowing that is denied is for fewer units next, and not at once")
    mutating func denied() throws {
        for _ in 0..<4 { _ = try #require(borrow(charge(), chunk: 1000)) }
        advance(.seconds(2))
        _ = leases.sweep(at: now)
        #expect(borrow(charge(), chunk: 1000, remaining: 6, allowed: false) != nil)
        for _ in 0..<100 { #expect(!spend(charge()).wantsMore) }
        advance(.milliseconds(100))
        #expect(try #require(borrow(charge(), chunk: 1000)) <= 6)
    }

    @Test("other numbers, and a reset, end what was borrowed")
    mutating func ends() throws {
        let units = try #require(borrow(charge(), chunk: 100))
        let other = try Limit("a", .perMinute(500))
        let spending = spend(charge(1, other))
        #expect(!spending.isDecided && spending.unspent.map(\.charge.cost) == [units])
        #expect(spending.unspent[0].charge.numbers == limit.numbers)
        _ = try #require(borrow(charge(1, other), chunk: 100))
        leases.forget(charge().key)
        #expect(!spend(charge(1, other)).isDecided)
    }

    @Test("what is put back is spent again, but not beyond the chunk")
    mutating func putBack() throws {
        let units = try #require(borrow(charge(), chunk: 100))
        #expect(spend(charge(units)).isDecided)
        #expect(leases.held(charge().key) == 0)
        #expect(leases.putBack(charge(2), at: now))
        #expect(spend(charge(2)).isDecided && !spend(charge()).isDecided)
        #expect(!leases.putBack(charge(101), at: now))
        advance(.seconds(1))
        #expect(!leases.putBack(charge(), at: now), "what it was borrowed with is over")
    }

    @Test("an instance borrows when all have known each other for two heartbeats, by the most that it counted of late")
    func instances() {
        var instanceCount = InstanceCount()
        let start = NIODeadline.uptimeNanoseconds(1_000_000_000)
        func at(_ seconds: Int64) -> NIODeadline { start + .seconds(seconds) }
        func count(_ count: Int, at seconds: Int64) {
            instanceCount.counted(count, at: at(seconds), heartbeat: .seconds(5))
        }
        func sharers(_ seconds: Int64) -> Int? { instanceCount.sharers(at: at(seconds), heartbeat: .seconds(5)) }
        count(1, at: 0)
        count(4, at: 5)
        #expect(sharers(5) == nil)
        count(3, at: 10)
        #expect(sharers(10) == 4 && instanceCount.count == 3)
        for _ in 0..<5 { count(3, at: 10) }
        #expect(sharers(10) == 4, "counts of one moment are one")
        #expect(sharers(20) == nil, "the last count is too old")
        count(3, at: 15)
        count(3, at: 20)
        #expect(sharers(20) == 3)
        instanceCount.countFailed()
        #expect(sharers(20) == nil && instanceCount.count == 3)
        count(3, at: 25)
        #expect(sharers(25) == nil)
    }

    @Test("however many instances a server claims to have counted, each may borrow, and borrows nothing much")
    func absurdCounts() throws {
        let numbers = try Limit("a", .perSecond(1_000_000_000)).numbers
        for claimed in [Int64.max, Int64.max / 10 + 1, 1 << 40, 0, -1, .min] {
            var instanceCount = InstanceCount()
            for second in [Int64(0), 5, 10] {
                instanceCount.counted(
                    Int(clamping: claimed), at: .uptimeNanoseconds(1_000_000_000) + .seconds(second),
                    heartbeat: .seconds(5))
            }
            let sharers = try #require(
                instanceCount.sharers(at: .uptimeNanoseconds(11_000_000_000), heartbeat: .seconds(5)))
            #expect(sharers >= 1)
            #expect(LeasedUnits.chunk(numbers, sharers: sharers) >= 1)
        }
    }
}

extension Redis {
    @Suite("Leased limits", .serialized)
    struct LeaseTests {
        static let isSlow = ProcessInfo.processInfo.environment["WEIR_SLOW"] != nil

        private func charge(_ store: RedisStore, _ limit: Limit, cost: Int64 = 1, isLeased: Bool = true) -> Charge {
            let hasher = store.keyHasher
            return Charge(
                limit.numbers, key: hasher.key("everybody's", seed: hasher.seed(for: limit.identity)), cost: cost,
                isLeased: isLeased)
        }

        private func leasingStore(_ server: RedisServer) async throws -> RedisStore {
            let store = try await makeStore(server.url) { $0.heartbeat = .milliseconds(100) }
            try await until("it may borrow") { store.statistics.canBorrow }
            return store
        }

        @Test("of one instance, exactly the limit passes, most of it without the server")
        func oneInstance() async throws {
            let server = try await RedisServer(try Folder())
            let store = try await leasingStore(server)
            for algorithm in [Algorithm.tokenBucket, .fixedWindow, .slidingWindow] {
                let limit = try Limit("a", .init(2000, perTicks: 86_400_000_000), algorithm: algorithm)
                let before = store.statistics.leased
                var admitted = 0
                for _ in 0..<3000 { admitted += try await store.decide([charge(store, limit)])[0].isAllowed ? 1 : 0 }
                #expect(admitted <= 2000)
                #expect(store.statistics.leased - before > 1000)
                try await until("what wasn't spent was given back") {
                    admitted += try await store.decide([charge(store, limit)])[0].isAllowed ? 1 : 0
                    return admitted >= 2000
                }
                #expect(try await !store.decide([charge(store, limit, isLeased: false)])[0].isAllowed)
                #expect(admitted == 2000)
            }
            store.close()
        }

        @Test("what another limit of the request denies is put back, and a refund is given back once")
        func together() async throws {
            let server = try await RedisServer(try Folder())
            let store = try await leasingStore(server)
            let wide = try Limit("wide", .init(100_000, perTicks: 86_400_000_000), algorithm: .fixedWindow)
            let narrow = try Limit("narrow", .init(2, perTicks: 86_400_000_000), algorithm: .fixedWindow)
            try await until("units are borrowed") {
                _ = try await store.decide([charge(store, wide)])
                return store.statistics.leased > 10
            }
            let exact = charge(store, narrow, isLeased: false)
            for number in 1...4 {
                let decisions = try await store.decide([charge(store, wide), exact])
                #expect(decisions.map(\.isAllowed) == [true, number <= 2])
                #expect((decisions[0].receipt != nil) == (number <= 2))
            }
            let before = store.statistics.leased
            let decision = try await store.decide([charge(store, wide)])[0]
            #expect(store.statistics.leased > before)
            let receipt = try #require(decision.receipt)
            #expect(try await store.apply(.refund(charge(store, wide), receipt)).value)
            #expect(try await !store.apply(.refund(charge(store, wide), receipt)).value)
            store.close()
        }

        @Test(
            "of eight processes, no more than the limit and eight chunks pass in any period",
            arguments: isSlow ? [Algorithm.tokenBucket, .fixedWindow, .slidingWindow] : [.tokenBucket])
        func eightProcesses(_ algorithm: Algorithm) async throws {
            let count = 800
            let period: Timestamp = 2_000_000
            let limit = try Limit("a", Rate(Int64(count), perTicks: period))
            let chunks = 8 * Int(LeasedUnits.chunk(limit.numbers, sharers: 8))
            let folder = try Folder()
            let server = try await RedisServer(folder)
            let probe = packageFolder.appending(path: ".build/debug/StoreProbe").path
            let requests = Self.isSlow ? 4000 : 800
            let processes = try (0..<8).map { _ in
                try Program(
                    probe, [server.url, algorithm.rawValue, "\(count)", "\(period)", "\(requests)", "leased"],
                    in: folder)
            }
            var times: [Timestamp] = []
            var leased = 0
            for process in processes {
                try await until("it is done", for: 60) { !process.isRunning }
                try #require(try await process.wait() == 0, "\(process.log)")
                for line in process.log.split(separator: "\n") {
                    let numbers = line.split(separator: " ").compactMap { Timestamp($0) }
                    if numbers.count == 1 { leased += Int(numbers[0]) } else { times.append(numbers[0]) }
                }
            }
            times.sort()
            #expect(times.count > count)
            #expect(leased > count / 20, "\(leased) of \(times.count) were leased")
            if algorithm == .fixedWindow {
                let windows = Dictionary(grouping: times) { $0 / period }
                #expect(windows.values.allSatisfy { $0.count <= count }, "none beyond, for units end with their window")
                return
            }
            // More than the limit allows for a span, at most.
            var most = 0
            for (first, start) in times.enumerated() {
                for (last, end) in times.enumerated().dropFirst(first) {
                    let allowed =
                        algorithm == .tokenBucket
                        ? count + Int(Int64(count) * (end - start) / period)
                        : end - start < period ? 2 * count - 1 : Int.max / 2
                    most = max(most, last - first + 1 - allowed)
                }
            }
            #expect(most <= chunks)
            print(
                "leased \(algorithm): at most \(most) beyond the limit, of \(chunks); \(leased) of \(times.count) leased"
            )
        }
    }
}
