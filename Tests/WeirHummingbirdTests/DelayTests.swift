import Hummingbird
import NIOCore
import NIOEmbedded
import TestSupport
import Testing
import WeirHummingbird
import WeirTesting

extension InApp {
    @Suite("A request that the middleware holds", .serialized)
    struct DelayTests {
        @Test("has paid for its slot when its client leaves")
        func leaves() async throws {
            let clock = ManualClock()
            let limiter = try RequestLimiter(
                policy: Policy(
                    yaml:
                        """
                        limits:
                          - {name: a, rate: 20/minute, algorithm: leaky-bucket, max_wait: 10s}
                          - {name: b, rate: 3/hour}
                        """), clock: clock)
            let middleware = RateLimitMiddleware<RemoteAddressContext>(limiter)
            @Sendable func ask() async throws -> Response {
                let source = ApplicationRequestContextSource(channel: EmbeddedChannel(), logger: quiet)
                return try await middleware.handle(
                    Request(
                        head: .init(method: .get, scheme: "http", authority: "a", path: "/"),
                        body: .init(buffer: ByteBuffer())),
                    context: RemoteAddressContext(source: source)
                ) { _, _ in Response(status: .ok) }
            }
            #expect(try await ask().status == .ok)
            let leaving = Task { try await ask() }
            try await until("the request is held") { clock.waiting == 1 }
            leaving.cancel()
            await #expect(throws: CancellationError.self) { try await leaving.value }
            let last = Task { try await ask() }
            try await until("the next is held") { clock.waiting == 1 }
            clock.advance(by: .seconds(10))
            let headers = try await last.value.headers
            #expect(headers[.init("RateLimit")!]?.hasPrefix("\"b\";r=0;") == true)
        }
    }
}
