import Foundation
import TestSupport
import Testing
import Weir
import WeirHTTP
import WeirTesting

@testable import WeirRedis

extension Redis {
    @Suite("Known clients and tiers in a Redis hash", .serialized)
    struct LookupTests {
        struct Asking: LimitableRequest {
            var key: String
            var method: String { "GET" }
            var target: String { "/" }
            var host: String? { "a" }
            func forEachValue(of name: String, _ body: (String) -> Void) { if name == "X-API-Key" { body(key) } }
        }

        /// Takes one request through a limiter. Returns its tier and what it was charged as.
        private func ask(_ key: String, _ limiter: RequestLimiter, address: String = "192.0.2.1") async throws
            -> LimitedRequest
        {
            let request = LimitedRequest(limiter)
            let peer = try #require(IPAddress(address))
            var step = request.begin(Asking(key: key), on: limiter, peer: peer)
            while true {
                switch step {
                case .needsLookup(let answer):
                    step = request.resume(lookup: await answer.value, Asking(key: key))
                case .pending(let answer):
                    _ = request.resume(decisions: await answer.value)
                    return request
                default: return request
                }
            }
        }

        private func limiter(_ store: RedisStore) throws -> RequestLimiter {
            let reading = Policy.read(
                """
                client:
                  - {header: X-API-Key, known: {redis_hash: "api_key:{client}"}}
                tiers: {source: {redis_hash: "api_key:{client}", field: tier}, default: free}
                limits:
                  - {name: a, rate: {free: 5/hour, pro: 50/hour}}
                """, file: "f")
            return try RequestLimiter(policy: try #require(reading.policy, "\(reading.diagnostics)"), store: store)
        }

        @Test(
            "the tier is the hash's, an upgrade takes effect within seconds, and the unknown fall through to their address"
        )
        func tiers() async throws {
            let server = try await RedisServer(try Folder())
            try server.ask("HSET", "api_key:alice", "tier", "free")
            try server.ask("HSET", "api_key:{b}\r\n:bob", "tier", "pro")
            let store = try await makeStore(server.url)
            let limiter = try limiter(store)
            #expect(try await ask("alice", limiter).reportedDecision?.quota == 5)
            #expect(try await ask("{b}\r\n:bob", limiter).reportedDecision?.quota == 50, "whatever a name holds")
            let unknown = try await ask("nobody", limiter)
            #expect(unknown.reportedDecision?.remaining == 4)
            #expect(try await ask("nobody-either", limiter).reportedDecision?.remaining == 3, "one address, one budget")
            try server.ask("HSET", "api_key:alice", "tier", "pro")
            try await until("the upgrade takes effect") {
                try await ask("alice", limiter).reportedDecision?.quota == 50
            }
            store.close()
        }

        @Test("a busy client costs a lookup now and then, and names made up at random don't become a flood of them")
        func flood() async throws {
            let server = try await RedisServer(try Folder())
            try server.ask("HSET", "api_key:alice", "tier", "pro")
            let store = try await makeStore(server.url)
            let limiter = try limiter(store)
            for _ in 0..<300 { _ = try await ask("alice", limiter) }
            #expect(store.client.lookups.asked <= 10)
            for index in 0..<2000 { _ = try await ask("made-up-\(index)", limiter, address: "198.51.100.7") }
            #expect(store.client.lookups.asked < 400)
            // Others are not held back by it.
            #expect(try await ask("alice", limiter, address: "203.0.113.9").reportedDecision?.quota == 50)
            store.close()
        }

        @Test("while the server is gone, who was known stays so, and nobody waits for long")
        func gone() async throws {
            let server = try await RedisServer(try Folder())
            try server.ask("HSET", "api_key:alice", "tier", "pro")
            let store = try await makeStore(server.url)
            let limiter = try limiter(store)
            #expect(try await ask("alice", limiter).tier == "pro")
            try await server.kill()
            let asked = store.client.lookups.asked
            try await until("what is known is so old that it is asked for again") {
                let tier = try await ask("alice", limiter).tier
                #expect(tier == "pro")
                return store.client.lookups.asked > asked
            }
            #expect(try await ask("alice", limiter).tier == "pro")
            #expect(try await ask("bob", limiter).tier == "free")
            store.close()
        }

        @Test("a policy that looks clients up needs a store of Redis, and says so")
        func needsRedis() throws {
            let policy = try #require(
                Policy.read(
                    "tiers: {source: {redis_hash: 'a:{client}', field: t}, default: f}\nlimits: [{name: a, rate: 1/s}]",
                    file: "f"
                )
                .policy)
            do {
                _ = try RequestLimiter(policy: policy)
                Issue.record("it is taken")
            } catch {
                #expect("\(error)".contains("its store is not Redis"))
            }
            for wrong in ["{redis_hash: key, field: t}", "{redis_hash: 'a:{client}'}"] {
                let reading = Policy.read(
                    "tiers: {source: \(wrong), default: f}\nlimits: [{name: a, rate: 1/s}]", file: "f")
                #expect(reading.policy == nil)
                #expect(reading.diagnostics.contains { $0.message.contains("redis_hash") })
            }
        }
    }
}
