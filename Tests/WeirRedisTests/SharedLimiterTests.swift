import TestSupport
import Testing
import Weir

@testable import WeirRedis

extension Redis {
    @Suite("A limit that processes hold together", .serialized)
    struct SharedLimiterTests {
        /// The same limit as two processes have it, each with a connection of its own.
        private func both(_ limit: Limit, _ body: (SharedLimiter, SharedLimiter) async throws -> Void) async throws {
            let server = try await RedisServer(try Folder())
            let stores = [try await makeStore(server.url), try await makeStore(server.url)]
            try await body(SharedLimiter(limit, store: stores[0]), SharedLimiter(limit, store: stores[1]))
            for store in stores { store.close() }
        }

        @Test("one budget is spent by both, given back, owed and forgotten")
        func budget() async throws {
            try await both(try Limit("a", .perHour(3))) { one, other in
                let first = try await one.attempt("k")
                #expect(first.remaining == 2)
                #expect(try await other.attempt("k").remaining == 1)
                #expect(try await other.attempt("j").remaining == 2)
                #expect(try await other.refund(try #require(first.receipt)))
                #expect(try await !one.refund(try #require(first.receipt)), "only once")
                #expect(try await other.charge(5, to: "k"))
                #expect(try await !one.attempt("k").isAllowed)
                #expect(try await other.reset("k"))
                #expect(try await one.attempt("k", cost: 3).isAllowed)
                await #expect(throws: AcquireError.self) { try await other.acquire("k", timeout: .seconds(1)) }
                await #expect(throws: AcquireError.self) { try await other.acquire("k", cost: 4) }
            }
        }

        @Test("of both together no more acquire than the rate allows, and all come to it")
        func rate() async throws {
            try await both(try Limit("a", try Rate(50, perTicks: 1_000_000, burst: 5))) { one, other in
                var times = try await withThrowingTaskGroup(of: Timestamp.self) { group in
                    for number in 0..<40 {
                        group.addTask {
                            try await (number.isMultiple(of: 2) ? one : other).acquire("k").decision.timestamp
                        }
                    }
                    var times: [Timestamp] = []
                    for try await time in group { times.append(time) }
                    return times
                }
                times.sort()
                #expect(times.count == 40)
                // A burst of 5, and then one in 20 ms, by the server's clock.
                for index in 5..<40 { #expect(times[index] - times[0] >= Timestamp(index - 4) * 20_000) }
            }
        }

        @Test("a permit that one gives back is the other's within moments")
        func permits() async throws {
            try await both(try Limit("a", concurrency: 1)) { one, other in
                let held = try await one.acquire("k")
                await #expect(throws: AcquireError.self) { try await other.acquire("k", timeout: .milliseconds(100)) }
                let waiting = Task { try await other.withPermit("k", timeout: .seconds(20)) { "done" } }
                try await one.refund(try #require(held.receipt))
                #expect(try await waiting.value == "done")
                #expect(try await one.acquire("k", timeout: .seconds(20)).isAllowed)
            }
        }
    }
}
