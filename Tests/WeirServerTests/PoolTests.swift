import NIOCore
import NIOEmbedded
import NIOHTTP1
import Testing
import WeirHTTP

@testable import WeirServer

@Suite("The upstream's connections of one event loop")
struct PoolTests {
    private let channels: [EmbeddedChannel]
    private let connections: [UpstreamConnection]
    private let pool: ConnectionPool

    init() throws {
        let pool = ConnectionPool(
            try #require(Upstream("http://127.0.0.1:1")), eventLoop: EmbeddedEventLoop(), connectTimeout: .seconds(1),
            longestLife: 100)
        let connections = (0..<3).map { _ in UpstreamConnection(pool, expiry: 10) }
        channels = try connections.map { connection in
            let channel = EmbeddedChannel(handler: connection)
            try channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
            return channel
        }
        self.pool = pool
        self.connections = connections
    }

    @Test("the one that was used last is taken first")
    func order() {
        connections[0].end(isReusable: true)
        connections[1].end(isReusable: true)
        #expect(pool.takeResting() === connections[1])
        #expect(pool.takeResting() === connections[0])
        #expect(pool.takeResting() == nil)
        #expect(connections[0].isReused)
    }

    @Test("an exchange that isn't whole closes its connection")
    func unfit() {
        connections[0].end(isReusable: false)
        #expect(pool.takeResting() == nil)
        #expect(!channels[0].isActive)
    }

    @Test("one that has reached its age carries no further exchange")
    func age() {
        connections[0].end(isReusable: true)
        pool.sweep(tick: 9)
        #expect(pool.takeResting() == nil)
        pool.sweep(tick: 9)
        connections[1].end(isReusable: true)
        #expect(channels[1].isActive)
        pool.sweep(tick: 10)
        #expect(!channels[1].isActive)
        connections[2].end(isReusable: true)
        #expect(!channels[2].isActive)
        #expect(pool.takeResting() == nil)
    }

    @Test("one that rests too long is closed, the oldest first")
    func rests() {
        connections[0].end(isReusable: true)
        pool.sweep(tick: 4)
        connections[1].end(isReusable: true)
        pool.sweep(tick: 8)
        #expect(!channels[0].isActive)
        #expect(channels[1].isActive)
        pool.sweep(tick: 12)
        #expect(!channels[1].isActive)
        #expect(pool.takeResting() == nil)
    }

    @Test("one that the upstream closes, or that says something unasked, is forgotten")
    func lost() throws {
        connections[0].end(isReusable: true)
        connections[1].end(isReusable: true)
        channels[0].pipeline.fireChannelInactive()
        try channels[1].writeInbound(HTTPClientResponsePart.head(.init(version: .http1_1, status: .ok)))
        #expect(!channels[1].isActive)
        channels[1].pipeline.fireChannelInactive()
        #expect(pool.takeResting() == nil)
    }

    @Test("all are closed at the end")
    func end() {
        for connection in connections { connection.end(isReusable: true) }
        pool.closeAll()
        #expect(channels.allSatisfy { !$0.isActive })
    }
}
