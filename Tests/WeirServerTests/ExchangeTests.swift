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
        let limiter = try RequestLimiter(policy: Policy(yaml: policy))
        return ServerLoop(
            EmbeddedEventLoop(), settings: GatewaySettings(),
            upstream: try #require(Upstream("http://127.0.0.1:1")),
            policy: PolicyInForce(limiter).view, denials: DenialLog(LineWriter(descriptor: 2)),
            failures: FailureLog(LineWriter(descriptor: 2)),
            connectionLimits: ConnectionLimits(most: 9, mostForAddress: 9), places: SharedRoom(most: 9),
            bodyMemory: SharedRoom(most: 9))
    }

    @Test("gives the memory of a body back when the client leaves, and when there is no more of it")
    func bodyMemory() throws {
        let loop = try loop("limits: [{name: a, rate: 9/hour, cost: {json: /n}}]")
        let peer = Peer(try #require(IPAddress("192.0.2.1")))
        let head = HTTPRequestHead(version: .http1_1, method: .POST, uri: "/x", headers: ["Host": "a"])
        let first = loop.takeExchange()
        first.begin(head, framing: .length(8), from: peer, for: BreakingClient())
        first.received(ByteBuffer(repeating: 1, count: 6))
        #expect(loop.bodyMemory.count == 6)
        let second = loop.takeExchange()
        let client = BreakingClient()
        client.exchange = second
        second.begin(head, framing: .length(8), from: peer, for: client)
        second.received(ByteBuffer(repeating: 1, count: 3))
        second.received(ByteBuffer(repeating: 1, count: 1))
        #expect(!second.takesBody)
        #expect(loop.bodyMemory.count == 6)
        first.clientLeft()
        #expect(loop.bodyMemory.count == 0)
    }

    @Test("waits for a body only until its deadline, however often a part of it comes")
    func bodyDeadline() throws {
        let loop = try loop("limits: [{name: a, rate: 9/hour, cost: {json: /n}}]")
        let head = HTTPRequestHead(version: .http1_1, method: .POST, uri: "/x", headers: ["Host": "a"])
        let exchange = loop.takeExchange()
        exchange.begin(
            head, framing: .length(8), from: Peer(try #require(IPAddress("192.0.2.1"))), for: BreakingClient())
        let deadline = exchange.deadline
        for _ in 0..<3 {
            loop.sweep()
            exchange.received(ByteBuffer(repeating: 1, count: 1))
            #expect(exchange.deadline == deadline)
        }
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
