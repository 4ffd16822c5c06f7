import NIOCore
import NIOEmbedded
import NIOHTTP1
import Testing
import WeirHTTP

@testable import WeirServer

@Suite("An exchange")
struct ExchangeTests {
    /// A client whose connection breaks while the answer is written, as a socket that was reset does.
    private final class BreakingClient: ExchangeClient {
        var exchange: Exchange?
        let isWritable = true

        func sendContinue() {}
        func sendInterim(_ head: ResponseHeader) {}
        func readBody() {}
        func send(_ answer: Answer) { exchange?.clientLeft() }
        func takes(_ head: HTTPResponseHead) -> Bool { true }
        func startResponse(_ head: ResponseHeader) {}
        func sendResponse(_ bytes: ByteBuffer) {}
        func endResponse(_ trailers: HTTPHeaders?) {}
        func flush() {}
        func abort() {}
        func exchangeEnded(requestEnded: Bool) {}
    }

    private func loop(_ policy: String) throws -> ServerLoop {
        let limiter = try RequestLimiter(policy: .text(policy))
        return ServerLoop(
            EmbeddedEventLoop(), settings: ServerSettings(),
            upstream: try #require(Upstream("http://127.0.0.1:1")),
            policy: PolicyInForce(limiter).view, denials: DenialLog(LineWriter(descriptor: 2)),
            failures: FailureLog(LineWriter(descriptor: 2)),
            connectionLimits: ConnectionLimits(most: 9, mostForAddress: 9), places: DelayPlaces(most: 9))
    }

    @Test("serves one client at a time, also when an answer can't be written")
    func pooledOnce() throws {
        let loop = try loop(
            "log: {denials_per_second: 0}\naccess: [{match: {path: /x}, deny: true}]\nlimits: [{name: a, rate: 1/hour}]"
        )
        let peer = Peer(try #require(IPAddress("192.0.2.1")))
        let head = HTTPRequestHead(version: .http1_1, method: .GET, uri: "/x", headers: ["Host": "a"])
        let client = BreakingClient()
        for isRejected in [true, false] {
            let exchange = loop.takeExchange()
            client.exchange = exchange
            if isRejected {
                exchange.reject(.badRequest("x"), nil, framing: .none, from: peer, for: client)
            } else {
                exchange.begin(head, framing: .none, from: peer, for: client)
            }
            let first = loop.takeExchange()
            #expect(loop.takeExchange() !== first)
        }
    }
}
