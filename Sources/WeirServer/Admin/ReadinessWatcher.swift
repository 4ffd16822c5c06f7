public import Logging
public import ServiceLifecycle

import NIOCore
import NIOHTTP1
import NIOPosix
import Weir
public import WeirHTTP

/// Ends the warm-up of limits that wait for the upstream, by asking it every second until it answers 2xx.
public struct ReadinessWatcher: Service {
    private let gateway: Gateway
    private let upstream: Upstream
    private let logger: Logger

    public init(gateway: Gateway, upstream: Upstream, logger: Logger) {
        self.gateway = gateway
        self.upstream = upstream
        self.logger = logger
    }

    public func run() async throws {
        await cancelWhenGracefulShutdown {
            while !Task.isCancelled {
                await check()
                try? await Task.sleep(for: .seconds(1))
            }
        }
    }

    private func check() async {
        // One question for each path, whatever the number of limits that wait for it.
        let waiting = Dictionary(grouping: gateway.limiter.readinessChecks.filter { !$0.warmUp.isFinished }, by: \.path)
        for (path, checks) in waiting {
            guard await status(of: path).map({ (200..<300).contains($0) }) == true else { continue }
            for check in checks { check.warmUp.finish() }
            logger.notice("the upstream is ready; the warm-up is over", metadata: ["path": "\(path)"])
        }
    }

    /// The status of a GET; nil when there is no answer within two seconds.
    private func status(of path: String) async -> Int? {
        let loop = MultiThreadedEventLoopGroup.singleton.any()
        let answer = loop.makePromise(of: Int?.self)
        let head = HTTPRequestHead(
            version: .http1_1, method: .GET, uri: upstream.basePath + path,
            headers: ["Host": upstream.authority, "Connection": "close", "User-Agent": "weir-readiness"])
        let channel = ClientBootstrap(group: loop)
            .connectTimeout(.seconds(2))
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandlers(
                        HTTPRequestEncoder(), ByteToMessageHandler(HTTPResponseDecoder()),
                        StatusHandler(head: head, answer: answer))
                }
            }
            .connect(host: upstream.host, port: upstream.port)
        channel.whenFailure { _ in answer.succeed(nil) }
        let timeout = loop.scheduleTask(in: .seconds(2)) { answer.succeed(nil) }
        defer { timeout.cancel() }
        let status = try? await answer.futureResult.get()
        channel.whenSuccess { $0.close(promise: nil) }
        return status ?? nil
    }
}

/// Sends one request and tells the status of its response.
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
