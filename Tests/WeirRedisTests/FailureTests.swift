import Foundation
import NIOCore
import NIOPosix
import Synchronization
import TestSupport
import Testing
import Weir
import WeirHTTP
import WeirTesting

@testable import WeirRedis

/// Stands between a store and its server, and swallows replies when it is told to.
final class Interceptor: @unchecked Sendable {
    // Sendable, because `isMuted` is only touched on the channel's event loops, which are one.
    let loop = MultiThreadedEventLoopGroup.singleton.next()
    let target: Int
    private var channel: (any Channel)?
    private var isMuted = false
    private var held: [() -> Void] = []

    init(before target: Int) async throws {
        self.target = target
        channel = try await ServerBootstrap(group: loop)
            .childChannelInitializer { [self] client in
                client.eventLoop.makeCompletedFuture {
                    try client.pipeline.syncOperations.addHandler(Forward(self))
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
    }

    var port: Int { channel?.localAddress?.port ?? 0 }

    /// Holds all replies back; then lets them go.
    func mute(_ muted: Bool) async throws {
        try await loop.submit { [self] in
            isMuted = muted
            if !muted {
                for reply in held { reply() }
                held = []
            }
        }.get()
    }

    func close() async throws { try await channel?.close() }

    private final class Forward: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        let owner: Interceptor
        var server: (any Channel)?
        var waiting: [ByteBuffer] = []

        init(_ owner: Interceptor) { self.owner = owner }

        func channelActive(context: ChannelHandlerContext) {
            let client = NIOLoopBound(context.channel, eventLoop: context.eventLoop)
            let this = NIOLoopBound(self, eventLoop: context.eventLoop)
            let owner = owner
            ClientBootstrap(group: context.eventLoop)
                .channelInitializer { server in
                    server.eventLoop.makeCompletedFuture {
                        try server.pipeline.syncOperations.addHandler(Reply(owner, to: client.value))
                    }
                }
                .connect(host: "127.0.0.1", port: owner.target).whenSuccess { server in
                    this.value.server = server
                    for bytes in this.value.waiting { server.writeAndFlush(bytes, promise: nil) }
                }
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            let bytes = unwrapInboundIn(data)
            if let server { server.writeAndFlush(bytes, promise: nil) } else { waiting.append(bytes) }
        }

        func channelInactive(context: ChannelHandlerContext) { server?.close(promise: nil) }
    }

    private final class Reply: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        let owner: Interceptor
        let client: any Channel

        init(_ owner: Interceptor, to client: any Channel) {
            self.owner = owner
            self.client = client
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            let bytes = unwrapInboundIn(data)
            let client = client
            if owner.isMuted {
                owner.held.append { client.writeAndFlush(bytes, promise: nil) }
            } else {
                client.writeAndFlush(bytes, promise: nil)
            }
        }

        func channelInactive(context: ChannelHandlerContext) { client.close(promise: nil) }
    }
}

extension Redis {
    @Suite("When the store fails", .serialized)
    struct FailureTests {
        let folder: Folder

        init() throws { folder = try Folder() }

        private func charge(_ store: RedisStore, _ limit: Limit, _ key: String = "a", cost: Int64 = 1) -> Charge {
            let hasher = store.keyHasher
            return Charge(limit.numbers, key: hasher.key(key, seed: hasher.seed(for: limit.identity)), cost: cost)
        }

        private func failure(_ store: RedisStore, _ limit: Limit) async -> StoreError.Code? {
            do {
                _ = try await store.decide([charge(store, limit)])
                return nil
            } catch {
                return error.code
            }
        }

        @Test("replies swallowed after the commit: nothing is executed twice, and what was charged is given back")
        func swallowedReplies() async throws {
            let server = try await RedisServer(folder)
            let between = try await Interceptor(before: server.port)
            let store = try await makeStore("redis://127.0.0.1:\(between.port)") {
                $0.decisionTimeout = .milliseconds(50)
            }
            let limit = try Limit("a", .perMinute(10))
            #expect(try await store.decide([charge(store, limit)])[0].remaining == 9)
            try await between.mute(true)
            #expect(await failure(store, limit) == .timedOut)
            #expect(await failure(store, limit) == .unavailable, "the breaker is open: nobody waits again")
            try await between.mute(false)
            try await until("the store answers again") { await failure(store, limit) == nil }
            try await until("the late charge is given back") { store.statistics.lateCharges == 1 }
            var peek = charge(store, limit)
            peek.cost = 0
            let remaining = try await store.decide([peek])[0].remaining
            // The first and the one that answered again; the late one was refunded.
            #expect(remaining == 8)
            store.close()
            try await between.close()
        }

        @Test("what gathers behind a call is sent soon, however long the call's answer takes")
        func slowAnswers() async throws {
            let server = try await RedisServer(folder)
            let between = try await Interceptor(before: server.port)
            let store = try await makeStore("redis://127.0.0.1:\(between.port)") { $0.decisionTimeout = .seconds(30) }
            let limit = try Limit("a", .perMinute(100))
            let client = store.client
            let charges = [charge(store, limit)]
            _ = try await store.decide(charges)
            func calls() throws -> Int? {
                let parts = try server.ask("INFO", "commandstats").components(separatedBy: "cmdstat_evalsha:calls=")
                return parts.dropFirst().first.flatMap { Int($0.prefix { $0.isNumber }) }
            }
            let before = try #require(try calls())
            try await between.mute(true)
            let second = client.loop.makePromise(of: PendingAnswer<DecisionResult>.self)
            let first = try await client.loop.submit {
                // After the call of eight is sent, at the end of this turn of the loop.
                defer { client.loop.execute { second.succeed(client.ask(charges, at: .now())) } }
                return (0..<8).map { _ in client.ask(charges, at: .now()) }
            }.get()
            try await until("both are executed, though neither is answered") { try calls() == before + 2 }
            try await between.mute(false)
            for answer in first + [try await second.futureResult.get()] { _ = try await answer.value.get() }
            store.close()
            try await between.close()
        }

        @Test("who comes alone after a burst is answered too")
        func aloneAfterBurst() async throws {
            let server = try await RedisServer(folder)
            let store = try await makeStore(server.url)
            let charges = [charge(store, try Limit("a", .perMinute(1_000_000)))]
            for _ in 0..<100 {
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for _ in 0..<40 { group.addTask { _ = try await store.decide(charges) } }
                    try await group.waitForAll()
                }
                // Within the deadline, or it throws; and if it were forgotten, this would never end.
                _ = try await store.decide(charges)
            }
            store.close()
        }

        @Test("what was handed over is executed when the store is closed at once")
        func closedAtOnce() async throws {
            let server = try await RedisServer(folder)
            let store = try await makeStore(server.url) { $0.decisionTimeout = .seconds(30) }
            let permits = try Limit("permits", concurrency: 20)
            let held = try await store.decide([charge(store, permits)])
            let receipt = try #require(held[0].receipt)
            let client = store.client
            let many = [charge(store, try Limit("a", .perMinute(100)))]
            let key = charge(store, permits).key.text("weir:")
            #expect(try server.ask("EXISTS", key) == "1")
            let refund = Adjustment.refund(charge(store, permits), receipt)
            try await client.loop.submit {
                for _ in 0..<8 { _ = client.ask(many, at: .now()) }
                // After the call of eight is sent, at the end of this turn of the loop.
                client.loop.execute {
                    _ = client.apply(refund)
                    client.close()
                }
            }.get()
            try await until("the permit is free, long before its lease ends", for: 5) {
                try server.ask("EXISTS", key) == "0"
            }
        }

        @Test(
            "a server that is killed and comes back empty: failures at once, then decisions again, under the same keys")
        func killed() async throws {
            let server = try await RedisServer(folder)
            let store = try await makeStore(server.url)
            let limit = try Limit("a", .perMinute(10))
            let before = charge(store, limit).key
            _ = try await store.decide([charge(store, limit)])
            try await server.kill()
            try await until("the loss is noticed") { await failure(store, limit) == .unavailable }
            try await server.start()
            try await until("the store answers again") { await failure(store, limit) == nil }
            #expect(charge(store, limit).key == before)
            #expect(try server.ask("GET", "weir:key-secret").count == 32, "the secret is there again")
            store.close()
        }

        @Test("a stopped server costs one deadline, then nothing, and answers within 2 s of going on")
        func stopped() async throws {
            let server = try await RedisServer(folder)
            let store = try await makeStore(server.url) { $0.decisionTimeout = .milliseconds(50) }
            let limit = try Limit("a", .perMinute(1_000_000))
            server.program?.signal(SIGSTOP)
            #expect(await failure(store, limit) == .timedOut)
            for _ in 0..<100 { #expect(await failure(store, limit) == .unavailable) }
            server.program?.signal(SIGCONT)
            let start = ContinuousClock.now
            try await until("the store answers again") { await failure(store, limit) == nil }
            #expect(ContinuousClock.now - start < .seconds(2), "a bound that the issue names")
            store.close()
        }

        @Test("scripts that were flushed are loaded again without a failure")
        func flushed() async throws {
            let server = try await RedisServer(folder)
            let store = try await makeStore(server.url)
            let limit = try Limit("a", .perMinute(10))
            _ = try await store.decide([charge(store, limit)])
            try server.ask("SCRIPT", "FLUSH")
            #expect(try await store.decide([charge(store, limit)])[0].remaining == 8)
            store.close()
        }

        @Test("a server that is full, or read-only, or wants another password, is refused with its reason")
        func refused() async throws {
            let server = try await RedisServer(folder, .redis, "--requirepass", "hunter2-hunter2")
            let wrong = try await {
                do {
                    let store = try await makeStore("redis://:wrong@127.0.0.1:\(server.port)")
                    store.close()
                    return ""
                } catch let error as StoreError { return error.description }
            }()
            #expect(wrong.contains("WRONGPASS") || wrong.contains("invalid"), "\(wrong)")
            let none = await #expect(throws: StoreError.self) {
                try await makeStore("redis://127.0.0.1:\(server.port)")
            }
            #expect(none?.description.contains("the server wants a password") == true)
            let store = try await makeStore("redis://:hunter2-hunter2@127.0.0.1:\(server.port)/3")
            let limit = try Limit("a", .perMinute(10))
            #expect(await failure(store, limit) == nil)
            let cli = ["-a", "hunter2-hunter2"]
            try server.ask(cli + ["CONFIG", "SET", "maxmemory", "1mb"])
            try server.ask(cli + ["CONFIG", "SET", "maxmemory-policy", "noeviction"])
            #expect(await failure(store, limit) == .rejected)
            try server.ask(cli + ["CONFIG", "SET", "maxmemory", "0"])
            #expect(await failure(store, limit) == nil)
            try server.ask(cli + ["REPLICAOF", "127.0.0.1", "1"])
            #expect([StoreError.Code.rejected, .unavailable].contains(await failure(store, limit)))
            try server.ask(cli + ["REPLICAOF", "NO", "ONE"])
            try await until("it is a master again") { await failure(store, limit) == nil }
            store.close()
        }

        @Test("no key is ever without a TTL, and planted ones heal or are overwritten")
        func timeToLive() async throws {
            let server = try await RedisServer(folder)
            let store = try await makeStore(server.url) {
                $0.cachesDenials = false
                // So long that no renewal puts a permit back between a plant and the decision about it.
                $0.permitLease = .seconds(3600)
            }
            var charges: [Charge] = []
            for algorithm in Algorithm.allCases {
                let limit =
                    algorithm == .concurrency
                    ? try Limit("flight", concurrency: 3) : try Limit("l", .perMinute(3), algorithm: algorithm)
                charges.append(charge(store, limit))
            }
            for charge in charges {
                for _ in 0..<5 { _ = try await store.decide([charge]) }
                _ = try await store.apply(.debit(charge)).value
                let decision = try await store.decide([charge])[0]
                if let receipt = decision.receipt { _ = try await store.apply(.refund(charge, receipt)).value }
            }
            _ = try await store.apply(.reset(charges[0].numbers, charges[0].key)).value
            for key in try server.ask("KEYS", "*").split(separator: "\n") {
                #expect(try server.ask("PTTL", String(key)).contains("-1") == false, "\(key) has no TTL")
            }
            // Planted: garbage of every type, for ever.
            for charge in charges {
                let key = charge.key.text("weir:")
                // Nearly as states are kept: a version of another length, and numbers that are none.
                let nearly = [
                    "'<Bd', 1, 5", "'<BdI4I4', 6, 5, 0, 60", "'<Bd', 6, -1/0", "'<Bd', 6, 1/0", "'<Bd', 6, 0/0",
                    "'<Bd', 6, -5",
                    "'<BdI4I4', 1, 1/0, 0, 60", "'<BddI4I4', 2, 1/0, 1/0, 0, 60", "'<BdI4', 3, 1/0, 1",
                    "'<BdI4I4', 4, -1/0, 1, 1",
                ].map { ["EVAL", "return redis.call('SET', KEYS[1], struct.pack(\($0)))", "1", key] }
                let plants = [
                    ["SET", key, "garbage"], ["RPUSH", key, "x"], ["ZADD", key, "1", "x"], ["HSET", key, "a", "b"],
                ]
                for plant in plants + nearly {
                    try server.ask("DEL", key)
                    try server.ask(plant)
                    let decision = try await store.decide([charge])[0]
                    #expect(decision.isAllowed, "\(plant) under \(charge.numbers.algorithm)")
                    #expect(try server.ask("PTTL", key) != "-1", "\(plant) under \(charge.numbers.algorithm)")
                }
            }
            // A key that denies and has lost its TTL gets one with the next denial.
            let fixed = charges[1]
            while try await store.decide([fixed])[0].isAllowed {}
            try server.ask("PERSIST", fixed.key.text("weir:"))
            #expect(try await store.decide([fixed])[0].isAllowed == false)
            #expect(try server.ask("PTTL", fixed.key.text("weir:")) != "-1")
            store.close()
        }

        @Test("a permit that is given back the moment it was had is not renewed for ever")
        func givenBackAtOnce() async throws {
            let server = try await RedisServer(folder)
            let store = try await makeStore(server.url) { $0.permitLease = .milliseconds(300) }
            let limit = try Limit("flight", concurrency: 1)
            let hasher = store.keyHasher
            let charge = Charge(limit.numbers, key: hasher.key("k", seed: hasher.seed(for: limit.identity)))
            var decisions: [Decision] = []
            let refunded = PendingAnswer<Void>()
            store.decide([charge], into: &decisions)?.whenComplete { result in
                guard let receipt = try? result.get().first?.receipt else { return refunded.complete(()) }
                guard case .pending(let answer) = store.apply(.refund(charge, receipt)).kind else { return }
                answer.whenComplete { _ in refunded.complete(()) }
            }
            await refunded.value
            #expect(store.client.permits.withLock { $0.isEmpty })
            store.close()
        }

        @Test("permits of a holder that crashed come back with their lease, and those of a live one are renewed")
        func leases() async throws {
            let server = try await RedisServer(folder)
            let limit = try Limit("flight", concurrency: 1)
            let holder = try await makeStore(server.url) { $0.permitLease = .milliseconds(600) }
            let other = try await makeStore(server.url) { $0.permitLease = .milliseconds(600) }
            #expect(try await holder.decide([charge(holder, limit)])[0].isAllowed)
            // Three leases long, it is still held.
            let end = ContinuousClock.now + .milliseconds(1800)
            while ContinuousClock.now < end {
                #expect(try await other.decide([charge(other, limit)])[0].isAllowed == false)
                try await Task.sleep(for: .milliseconds(50))
            }
            holder.close()
            try await until("the permit comes back") { try await other.decide([charge(other, limit)])[0].isAllowed }
            other.close()
        }

        @Test("holds of an instance that crashed are charged as they stand, those of a live one are renewed")
        func holdLeases() async throws {
            let server = try await RedisServer(folder)
            let limits = try Algorithm.allCases.filter { $0 != .concurrency && $0 != .leakyBucket }.map {
                try Limit($0.rawValue, .perHour(10), algorithm: $0)
            }
            let holder = try await makeStore(server.url) { $0.permitLease = .milliseconds(600) }
            let other = try await makeStore(server.url) { $0.permitLease = .milliseconds(600) }
            func charge(_ store: RedisStore, _ limit: Limit, cost: Int64, isHold: Bool = false) -> Charge {
                Charge(
                    limit.numbers, key: store.keyHasher.key("k", seed: store.keyHasher.seed(for: limit.identity)),
                    cost: cost, isHold: isHold, countsHolds: true)
            }
            func peek(_ limit: Limit) async throws -> Decision {
                try await other.decide([charge(other, limit, cost: 0)])[0]
            }
            for limit in limits {
                #expect(try await holder.decide([charge(holder, limit, cost: 6, isHold: true)])[0].isAllowed)
            }
            // Three leases long, they are still held.
            let end = ContinuousClock.now + .milliseconds(1800)
            while ContinuousClock.now < end {
                for limit in limits {
                    let decision = try await peek(limit)
                    #expect(decision.remaining == 4 && decision.resetAfter == .zero, "\(limit.name)")
                }
                try await Task.sleep(for: .milliseconds(50))
            }
            holder.close()
            for limit in limits {
                try await until("the hold of \(limit.name) is charged") { try await (peek(limit).resetTicks ?? 0) > 0 }
                #expect(try await peek(limit).remaining == 4, "\(limit.name)")
                #expect(try await other.decide([charge(other, limit, cost: 4)])[0].isAllowed, "\(limit.name)")
            }
            other.close()
        }

        @Test("a hold whose lease ended is charged as of then, and not a second time if its process lives on")
        func lateSettlement() async throws {
            let server = try await RedisServer(folder)
            let clock = ManualClock(atTicks: 1_790_000_000_000_000)
            let store = try await makeStore(server.url) {
                $0.clock = clock
                $0.permitLease = .seconds(30)
                $0.slack = 3_600_000
                $0.cachesDenials = false
            }
            for algorithm in [Algorithm.tokenBucket, .fixedWindow, .slidingWindow, .slidingLog] {
                let limit = try Limit("late-\(algorithm.rawValue)", .perHour(60), algorithm: algorithm)
                func charge(_ cost: Int64, isHold: Bool = false) -> Charge {
                    Charge(
                        limit.numbers, key: store.keyHasher.key("k", seed: store.keyHasher.seed(for: limit.identity)),
                        cost: cost, isHold: isHold, countsHolds: true)
                }
                func remaining() async throws -> Int64 { try await store.decide([charge(0)])[0].remaining }
                // Near a window's begin, so that it lasts.
                clock.advance(by: .microseconds(3_600_000_000 - clock.timestamp % 3_600_000_000))
                let held = charge(30, isHold: true)
                let receipt = try #require(try await store.decide([held])[0].receipt, "\(algorithm)")
                clock.advance(by: .microseconds(30_000_000 + 600_000_000))
                // Ten minutes after the lease's end, ten units have drained from a bucket.
                let drained: Int64 = algorithm == .tokenBucket ? 10 : 0
                #expect(try await remaining() == 30 + drained, "\(algorithm)")
                _ = try await store.client.loop.submit { store.client.submit(.renew(held, id: receipt.sequence)) }.get()
                #expect(try await remaining() == 30 + drained, "\(algorithm): renewed too late")
                #expect(try await store.apply(.settle(held, receipt, actual: 35)).value == true, "\(algorithm)")
                #expect(try await remaining() == 25 + drained, "\(algorithm): the difference")
                #expect(try await store.apply(.settle(held, receipt, actual: 35)).value == false, "\(algorithm)")
            }
            store.close()
        }

        @Test("allow, deny and local are each honoured, and any deny wins")
        func modes() async throws {
            let reading = Policy.read(
                """
                limits:
                  - {name: open, match: {path: "/open*"}, rate: 1/minute, on_store_failure: allow}
                  - {name: closed, match: {path: ["/closed", "/open/closed"]}, rate: 9/minute, on_store_failure: deny}
                  - {name: own, match: {path: ["/own", "/open/own"]}, rate: 6/minute, on_store_failure: local}
                  - {name: big, match: {path: /big}, rate: 6/minute, cost: 4, on_store_failure: local}
                instances: 3
                """, file: "f")
            let policy = try #require(reading.policy, "\(reading.diagnostics)")
            let store = SlowStore(before: MemoryStore(clock: ManualClock()))
            let limiter = try RequestLimiter(policy: policy, store: store, clock: ManualClock())
            let request = LimitedRequest(limiter)
            func status(_ path: String) async throws -> Int {
                let step = request.begin(Plain(target: path), on: limiter, peer: try #require(IPAddress("192.0.2.1")))
                guard case .pending(let answer) = step else { return 0 }
                store.fail()
                switch request.resume(decisions: await answer.value) {
                case .pass: return 200
                case .answer(let problem): return problem.status
                }
            }
            #expect(try await status("/open") == 200)
            #expect(try await status("/open") == 200)
            #expect(!request.isLimited, "nothing is known, so nothing is said")
            #expect(try await status("/closed") == 503)
            #expect(try await status("/open/closed") == 503)
            // A third of 6.
            #expect(try await status("/own") == 200)
            #expect(request.reportedDecision?.remaining == 1)
            #expect(try await status("/open/own") == 200)
            #expect(try await status("/own") == 429)
            // 4 of a share of 2: impossible only while the store is gone.
            #expect(try await status("/big") == 429)
            #expect(request.reportedDecision?.retryAfter == .seconds(1))
        }

        struct Plain: LimitableRequest {
            var method: String { "GET" }
            var target: String
            var host: String? { "a" }
            func forEachValue(of name: String, _ body: (String) -> Void) {}
        }
    }
}
