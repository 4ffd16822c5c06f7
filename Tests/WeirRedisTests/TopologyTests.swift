import Foundation
import Synchronization
import TestSupport
import Testing
import Weir
import WeirTesting

@testable import WeirRedis

extension Redis {
    @Suite("Clusters and sentinels", .serialized)
    struct TopologyTests {
        static let isSlow = ProcessInfo.processInfo.environment["WEIR_SLOW"] != nil

        let folder: Folder

        init() throws { folder = try Folder() }

        private func charge(_ store: RedisStore, _ limit: Limit, _ key: String, cost: Int64 = 1) -> Charge {
            let hasher = store.keyHasher
            return Charge(limit.numbers, key: hasher.key(key, seed: hasher.seed(for: limit.identity)), cost: cost)
        }

        @Test(
            "a cluster conforms, decides over several slots together, and slots may move under load",
            arguments: [RedisServer.Product.redis, .valkey])
        func cluster(_ product: RedisServer.Product) async throws {
            let cluster = try await RedisCluster(folder, product, replicas: 0)
            try await checkConformance(cluster.url)
            let store = try await makeStore(cluster.url) { $0.cachesDenials = false }
            try await manySlots(store)
            try await movingSlots(store, cluster)
            store.close()
        }

        /// One request, with keys in many slots.
        private func manySlots(_ store: RedisStore) async throws {
            let wide = try Limit("wide", .perHour(100), algorithm: .fixedWindow)
            let narrow = try Limit("narrow", .perHour(3), algorithm: .fixedWindow)
            let charges = (0..<5).map { charge(store, wide, "client-\($0)") } + [charge(store, narrow, "all")]
            #expect(Set(charges.map(\.key.tag)).count > 3)
            for number in 1...5 {
                let decisions = try await store.decide(charges)
                #expect(decisions.map(\.isAllowed) == Array(repeating: true, count: 5) + [number <= 3])
            }
            for index in 0..<5 {
                try await until("what was charged before the denial is given back") {
                    var peek = charges[index]
                    peek.cost = 0
                    return try await store.decide([peek])[0].remaining == 97
                }
            }
        }

        private final class Load: Sendable {
            let stop = Atomic<Bool>(false)
            let admitted = Mutex<[Int: Int]>([:])
        }

        private func movingSlots(_ store: RedisStore, _ cluster: RedisCluster) async throws {
            let limit = try Limit("moving", .perHour(400), algorithm: .fixedWindow)
            let other = try Limit("moving-too", .perHour(1_000_000))
            let load = Load()
            try await withThrowingTaskGroup { group in
                for client in 0..<40 {
                    group.addTask {
                        while !load.stop.load(ordering: .relaxed) {
                            let charges = [
                                charge(store, limit, "client-\(client)"), charge(store, other, "client-\(client)"),
                            ]
                            let decisions = try await store.decide(charges)
                            if decisions.allSatisfy(\.isAllowed) {
                                load.admitted.withLock { $0[client, default: 0] += 1 }
                            }
                            try await Task.sleep(for: .milliseconds(2))
                        }
                    }
                }
                let masters = try cluster.nodes(seenBy: cluster.servers[0]).filter(\.isMaster)
                try cluster.servers[0].ask(
                    "--cluster", "reshard", "127.0.0.1:\(cluster.servers[0].port)", "--cluster-from", masters[0].id,
                    "--cluster-to", masters[1].id, "--cluster-slots", TopologyTests.isSlow ? "3000" : "300",
                    "--cluster-yes", "--cluster-pipeline", "1")
                load.stop.store(true, ordering: .relaxed)
                try await group.waitForAll()
            }
            for (client, count) in load.admitted.withLock({ $0 }) {
                var peek = charge(store, limit, "client-\(client)")
                peek.cost = 0
                let used = 400 - Int(try await store.decide([peek])[0].remaining)
                #expect(used == count, "client \(client) was charged as often as it was admitted")
                #expect(count <= 400)
            }
        }

        @Test(
            "a cluster's master that is killed is unavailable for no longer than the node timeout and 5 s",
            .enabled(if: TopologyTests.isSlow))
        func clusterFailover() async throws {
            let cluster = try await RedisCluster(folder, nodeTimeout: 2000)
            let store = try await makeStore(cluster.url) { $0.decisionTimeout = .milliseconds(50) }
            let limit = try Limit("a", .perHour(1_000_000))
            let victim = try #require(
                try cluster.nodes(seenBy: cluster.servers[0]).first(where: \.isMaster))
            let server = try #require(cluster.servers.first { $0.port == victim.port })
            // A key on every master.
            let charges = (0..<60).map { charge(store, limit, "client-\($0)") }
            for charge in charges { _ = try await store.decide([charge]) }
            try await Task.sleep(for: .seconds(1))
            let start = ContinuousClock.now
            try await server.kill()
            var lastFailure = start
            while ContinuousClock.now - start < .seconds(12) {
                for charge in charges {
                    do { _ = try await store.decide([charge]) } catch { lastFailure = ContinuousClock.now }
                }
            }
            print("cluster failover: unavailable for \(lastFailure - start)")
            #expect(lastFailure - start < .seconds(7), "a bound that the issue names")
            store.close()
        }

        @Test(
            "a master that sentinels name conforms, and so do its successors: they name another when it is killed",
            .enabled(if: TopologyTests.isSlow))
        func sentinelFailover() async throws {
            let sentinels = try await SentinelGroup(folder)
            try await checkConformance(sentinels.url)
            try sentinels.master.ask("FLUSHALL")
            let store = try await makeStore(sentinels.url) { $0.decisionTimeout = .milliseconds(50) }
            let limit = try Limit("a", .perHour(10), algorithm: .fixedWindow)
            for _ in 0..<4 { _ = try await store.decide([charge(store, limit, "a")]) }
            let master = sentinels.master
            let replica = sentinels.replica
            try await until("the replica has the counters") { try replica.ask("DBSIZE") == master.ask("DBSIZE") }
            let start = ContinuousClock.now
            try await master.kill()
            try await until("the replica is promoted, and found") {
                (try? await store.decide([charge(store, limit, "a")])) != nil
            }
            print("sentinel failover: unavailable for \(ContinuousClock.now - start)")
            #expect(ContinuousClock.now - start < .seconds(6), "a bound that the issue names")
            var peek = charge(store, limit, "a")
            peek.cost = 0
            #expect(try await store.decide([peek])[0].remaining == 5, "the counters went over")
            store.close()
        }
    }
}
