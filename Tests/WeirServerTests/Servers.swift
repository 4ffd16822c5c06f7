import Hummingbird
import Logging
import TestSupport
import Testing
import WeirHTTP
import WeirServer
import WeirTesting

/// Tests that start servers, one after another.
@Suite("A server in this process", .serialized)
enum Serving {}

/// Runs an upstream that answers every request with the request's header fields, one on a line.
func withEchoingUpstream(_ body: (Int) async throws -> Void) async throws {
    let router = Router()
    @Sendable func echo(_ request: Request, _ context: BasicRequestContext) async throws -> String {
        _ = try await request.body.collect(upTo: 1 << 20)
        return request.headers.map { "\($0.name.canonicalName): \($0.value)\n" }.joined()
    }
    router.get("**", use: echo)
    router.post("**", use: echo)
    try await withService(body) { listening in
        Application(
            router: router, configuration: .init(address: .hostname("127.0.0.1", port: 0)),
            onServerRunning: { listening($0.localAddress?.port ?? 0) }, logger: quiet)
    }
}

/// Runs a gateway with one event loop in front of an echoing upstream.
///
/// - Parameter body: receives the gateway and its port.
func withGateway(_ limiter: RequestLimiter, _ body: (Server, Int) async throws -> Void) async throws {
    try await withEchoingUpstream { upstream in
        var settings = limiter.policy.gateway
        settings.listen = [ListenAddress("127.0.0.1:0")].compactMap(\.self)
        settings.upstream = "http://127.0.0.1:\(upstream)"
        settings.threads = 1
        var server: Server?
        try await withService({ port in try await body(try #require(server), port) }) { listening in
            let made = try Server(
                settings: settings, limiter: limiter, logger: quiet, log: LineWriter(descriptor: 2),
                onListening: { listening($0.first?.port ?? 0) })
            server = made
            return made
        }
    }
}
