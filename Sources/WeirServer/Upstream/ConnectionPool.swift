import NIOCore
import NIOHTTP1
import NIOPosix
import WeirHTTP

/// One event loop's connections to the upstream. Requests are forwarded on their own loop, so they never change
/// threads.
final class ConnectionPool {
    private let eventLoop: any EventLoop
    private let upstream: Upstream
    private let connectTimeout: TimeAmount
    private let longestLife: Int
    private var resting: [UpstreamConnection] = []

    /// The longest idle time, in ticks: half the time after which servers such as uvicorn close an idle connection. A
    /// connection idle for longer may be closed already.
    private static let longestRest = 8
    private static let mostResting = 512
    /// The largest header of an answer, in bytes.
    private static let mostHeaderBytes = 1 << 20

    /// - Parameter longestLife: the ticks after which a connection carries no further exchange. The upstream's name may
    ///   have a new address by then.
    init(_ upstream: Upstream, eventLoop: any EventLoop, connectTimeout: TimeAmount, longestLife: Int) {
        self.upstream = upstream
        self.eventLoop = eventLoop
        self.connectTimeout = connectTimeout
        self.longestLife = longestLife
    }

    /// Takes an idle connection, the one used last first.
    func takeResting() -> UpstreamConnection? { resting.popLast() }

    /// Opens a new connection, then tells the exchange that asked for it.
    ///
    /// - Parameter number: identifies the exchange, which may have ended by the time the connection opens.
    func connect(for exchange: Exchange, number: Int) {
        let exchange = NIOLoopBound(exchange, eventLoop: eventLoop)
        let pool = NIOLoopBound(self, eventLoop: eventLoop)
        let bootstrap = ClientBootstrap(group: eventLoop)
            .connectTimeout(connectTimeout)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let pool = pool.value
                    try Self.configure(channel, UpstreamConnection(pool, expiry: pool.tick + pool.longestLife))
                }
            }
        let channel: EventLoopFuture<any Channel>
        if let address = try? SocketAddress(ipAddress: upstream.host, port: upstream.port) {
            channel = bootstrap.connect(to: address)
        } else {
            channel = bootstrap.connect(host: upstream.host, port: upstream.port)
        }
        channel.hop(to: eventLoop).whenComplete { result in
            let connection = (try? result.get()).flatMap {
                try? $0.pipeline.syncOperations.handler(type: UpstreamConnection.self)
            }
            if exchange.value.isCurrent(number) {
                exchange.value.connected(connection)
            } else {
                connection?.close()
            }
        }
    }

    private static func configure(_ channel: any Channel, _ connection: UpstreamConnection) throws {
        var encoding = HTTPRequestEncoder.Configuration()
        encoding.automaticallySetFramingHeaders = false
        var decoding = NIOHTTPDecoderLimitConfiguration()
        decoding.maxHeaderFieldSize = mostHeaderBytes
        decoding.maxHeaderListSize = mostHeaderBytes
        decoding.maxHeaderFieldCount = UpstreamConnection.mostFields
        let decoder = HTTPResponseDecoder(
            leftOverBytesStrategy: .dropBytes, informationalResponseStrategy: .forward, limitConfiguration: decoding)
        try channel.pipeline.syncOperations.addHandlers(
            HTTPRequestEncoder(configuration: encoding), ByteToMessageHandler(decoder), connection)
    }

    func rest(_ connection: UpstreamConnection) {
        guard resting.count < Self.mostResting, tick < connection.expiry else {
            connection.close()
            return
        }
        connection.restingSince = tick
        resting.append(connection)
    }

    func forget(_ connection: UpstreamConnection) {
        guard let index = resting.lastIndex(where: { $0 === connection }) else { return }
        resting.remove(at: index)
    }

    /// The loop's present tick, which idle times are measured by.
    private var tick = 0

    /// Closes connections that have been idle too long.
    func sweep(tick: Int) {
        self.tick = tick
        while let first = resting.first, tick - first.restingSince >= Self.longestRest {
            resting.removeFirst()
            first.close()
        }
        for connection in resting where tick >= connection.expiry { connection.close() }
        resting.removeAll { tick >= $0.expiry }
    }

    func closeAll() {
        for connection in resting { connection.close() }
        resting = []
    }
}
