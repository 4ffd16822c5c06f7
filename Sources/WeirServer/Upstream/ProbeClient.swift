import NIOCore
import NIOHTTP1
import NIOPosix
import WeirHTTP

/// Sends an upstream one request and returns its status, to find out whether it is ready.
struct ProbeClient: Sendable {
    let upstream: Upstream
    /// The longest time to wait for the answer.
    var timeout = TimeAmount.seconds(2)

    /// Whether the upstream takes a connection.
    func connects() async -> Bool {
        let channel = try? await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .connectTimeout(timeout)
            .connect(host: upstream.host, port: upstream.port).get()
        try? await channel?.close()
        return channel != nil
    }

    /// The status of a GET; nil when no answer comes in time.
    func status(of path: String) async -> Int? {
        let loop = MultiThreadedEventLoopGroup.singleton.any()
        let answer = loop.makePromise(of: Int?.self)
        let head = HTTPRequestHead(
            version: .http1_1, method: .GET, uri: upstream.basePath + path,
            headers: ["Host": upstream.authority, "Connection": "close", "User-Agent": "weir-readiness"])
        let channel = ClientBootstrap(group: loop)
            .connectTimeout(timeout)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandlers(
                        HTTPRequestEncoder(), ByteToMessageHandler(HTTPResponseDecoder()),
                        StatusHandler(head: head, answer: answer))
                }
            }
            .connect(host: upstream.host, port: upstream.port)
        channel.whenFailure { _ in answer.succeed(nil) }
        let late = loop.scheduleTask(in: timeout) { answer.succeed(nil) }
        defer { late.cancel() }
        let status = try? await answer.futureResult.get()
        channel.whenSuccess { $0.close(promise: nil) }
        return status ?? nil
    }
}

/// Sends one request and reports its response's status.
private final class StatusHandler: ChannelInboundHandler {
    typealias InboundIn = HTTPClientResponsePart
    typealias OutboundOut = HTTPClientRequestPart

    private let head: HTTPRequestHead
    private let answer: EventLoopPromise<Int?>

    init(head: HTTPRequestHead, answer: EventLoopPromise<Int?>) {
        self.head = head
        self.answer = answer
    }

    func channelActive(context: ChannelHandlerContext) {
        context.write(wrapOutboundOut(.head(head)), promise: nil)
        context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        if case .head(let head) = unwrapInboundIn(data) { answer.succeed(Int(head.status.code)) }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) {
        answer.succeed(nil)
    }
}
