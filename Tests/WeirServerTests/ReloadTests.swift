import TestSupport
import Testing
import Weir
import WeirHTTP
import WeirServer
import WeirTesting

extension Serving {
    /// Each request is held while another policy is put in force: that policy calls the limit and the header by
    /// other names, and knows nothing of the bypass.
    @Suite("A request keeps the policy that it began with", .serialized)
    struct ReloadTests {
        private func policy(_ limit: String) throws -> Policy {
            try Policy(
                yaml: """
                    headers: {names: {ratelimit: Quota}}
                    bypass: {header: X-Bypass, secret: {env: SECRET}}
                    limits: [\(limit)]
                    """, environment: ["SECRET": "0123456789abcdef"])
        }

        private func other(_ limiter: RequestLimiter) throws -> RequestLimiter {
            try RequestLimiter(
                policy: Policy(yaml: "limits: [{name: new, rate: 9/minute}]"), store: limiter.store, replacing: limiter)
        }

        /// What the request was answered, and what was counted, are the old policy's.
        private func check(_ answer: RawResponse, _ server: Server, allowed: Int) async throws {
            #expect(answer.status == 200)
            #expect(!answer.unchunked.contains("x-bypass"), "the upstream must not see what the policy strips")
            #expect(answer["quota"] != nil)
            #expect(answer["ratelimit"] == nil, "the other policy's name for the header")
            let metrics = await server.metrics()
            #expect(metrics.contains("weir_limit_requests_total{limit=\"old\",outcome=\"allowed\"} \(allowed)"))
            #expect(!metrics.contains("weir_limit_requests_total{limit=\"new\",outcome=\"allowed\"} 1"))
        }

        private let head = "Host: localhost\r\nConnection: close\r\nX-Bypass: wrong\r\n"

        @Test("while a leaky bucket holds it")
        func leakyBucket() async throws {
            let limiter = try RequestLimiter(
                policy: policy("{name: old, rate: 2/second, algorithm: leaky-bucket, max_wait: 10s}"))
            try await withGateway(limiter) { server, port in
                #expect(try await exchangeApart(port, "GET", "/x").status == 200)
                let connection = try Connection(port)
                try connection.send("GET /x HTTP/1.1\r\n\(head)\r\n")
                try await until("the request is held") {
                    await server.metrics().contains("weir_delayed_requests 1")
                }
                server.replace(try other(limiter))
                try await check(RawResponse(await connection.readApart()), server, allowed: 2)
            }
        }

        @Test("while the store is asked")
        func store() async throws {
            let store = SlowStore(before: MemoryStore())
            let limiter = try RequestLimiter(policy: policy("{name: old, rate: 9/minute}"), store: store)
            try await withGateway(limiter) { server, port in
                let connection = try Connection(port)
                try connection.send("GET /x HTTP/1.1\r\n\(head)\r\n")
                try await until("the store is asked") { store.waitingCount == 1 }
                server.replace(try other(limiter))
                // The event loop takes over the other policy before it hears the store's answer.
                _ = await server.metrics()
                store.release()
                try await check(RawResponse(await connection.readApart()), server, allowed: 1)
            }
        }

        @Test("while its body is read for its cost")
        func body() async throws {
            let limiter = try RequestLimiter(policy: policy("{name: old, rate: 9/minute, cost: {json: /n, max: 5}}"))
            try await withGateway(limiter) { server, port in
                let connection = try Connection(port)
                try connection.send(
                    "POST /x HTTP/1.1\r\n\(head)Content-Length: 8\r\nExpect: 100-continue\r\n\r\n")
                _ = try await connection.readApart(until: "100 Continue\r\n\r\n")
                server.replace(try other(limiter))
                _ = await server.metrics()
                try connection.send("{\"n\": 2}")
                try await check(RawResponse(await connection.readApart()), server, allowed: 1)
            }
        }
    }
}
