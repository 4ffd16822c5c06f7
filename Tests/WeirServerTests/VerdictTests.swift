import Synchronization
import TestSupport
import Testing
import Weir
import WeirHTTP
import WeirServer
import WeirTesting

extension Serving {
    @Suite("What becomes of a verdict", .serialized)
    struct VerdictTests {
        /// Tells the time of a clock that stands still.
        private struct StandingClock: TickClock {
            let manual = ManualClock()

            func now() -> Instant { manual.now() }
        }

        @Test("a client that leaves while its request is held has paid")
        func leaves() async throws {
            let limiter = try RequestLimiter(
                policy: Policy(
                    yaml:
                        """
                        limits:
                          - {name: a, rate: 2/second, algorithm: leaky-bucket, max_wait: 10s}
                          - {name: b, rate: 3/hour}
                        """), clock: StandingClock())
            try await withGateway(limiter) { server, port in
                #expect(try await exchangeApart(port, "GET", "/x").status == 200)
                var leaving: Connection? = try Connection(port)
                try leaving?.send("GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n")
                try await until("the request is held") { await server.metrics().contains("weir_delayed_requests 1") }
                leaving = nil
                try await until("its place is free") { await server.metrics().contains("weir_delayed_requests 0") }
                let last = try await exchangeApart(port, "GET", "/x")
                #expect(last.status == 200)
                #expect(last["RateLimit"]?.hasPrefix("\"b\";r=0;") == true)
            }
        }

        @Test("a request whose body is broken while it is held frees its place")
        func breaks() async throws {
            let limiter = try RequestLimiter(
                policy: Policy(yaml: "limits: [{name: a, rate: 1/minute, algorithm: leaky-bucket, max_wait: 60s}]"))
            try await withGateway(limiter) { server, port in
                #expect(try await exchangeApart(port, "GET", "/x").status == 200)
                let connection = try Connection(port)
                try connection.send(
                    "POST /x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n")
                #expect(try await connection.readApart().hasPrefix("HTTP/1.1 400"))
                try await until("its place is free") { await server.metrics().contains("weir_delayed_requests 0") }
            }
        }

        /// Finds a client each time that it is asked, later and without remembering it.
        private final class ForgetfulDirectory: ClientDirectory {
            let asked = Atomic<Int>(0)

            func lookUp(_ client: String, in hash: HashLookup, for asker: UInt64) -> StoreAnswer<LookupAnswer> {
                asked.wrappingAdd(1, ordering: .relaxed)
                let answer = PendingAnswer<Result<LookupAnswer, StoreError>>()
                Task.detached {
                    answer.complete(.success(LookupAnswer(isKnown: true, value: hash.field == nil ? nil : "pro")))
                }
                return .pending(answer)
            }
        }

        @Test("a request is one decision in the histogram, whatever it waits for, and each lookup is asked once")
        func histogram() async throws {
            let directory = ForgetfulDirectory()
            let limiter = try RequestLimiter(
                policy: Policy(
                    yaml:
                        """
                        client: [{header: X-Key, known: {redis_hash: 'key:{client}'}}]
                        tiers: {source: {redis_hash: 'key:{client}', field: tier}, default: free}
                        limits: [{name: a, rate: {free: 5/hour, pro: 9/hour}, cost: {json: /n, max: 5}}]
                        """), lookup: directory)
            try await withGateway(limiter) { server, port in
                let answer = try await exchangeApart(
                    port, "POST", "/x", headers: ["X-Key": "alice"], body: "{\"n\": 2}")
                #expect(answer.status == 200)
                #expect(answer["RateLimit"]?.hasPrefix("\"a\";r=7;") == true)
                #expect(await server.metrics().contains("weir_decision_seconds_count 1\n"))
                #expect(directory.asked.load(ordering: .relaxed) == 2)
            }
        }
    }
}
