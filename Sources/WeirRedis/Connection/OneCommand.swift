import NIOCore
import NIOPosix
import NIOSSL

/// Sends one command on a connection of its own, to servers that are only asked now and then, such as sentinels.
enum OneCommand {
    /// - Parameter authentication: a command to send first, whose reply must not be an error; nil for none.
    static func ask(
        _ endpoint: RedisAddress.Endpoint, _ command: RESPCommand, after authentication: RESPCommand? = nil,
        on loop: any EventLoop, tls: NIOSSLContext? = nil, timeout: TimeAmount = .milliseconds(500)
    ) -> EventLoopFuture<RESPValue> {
        let promise = loop.makePromise(of: RESPValue.self)
        ClientBootstrap(group: loop)
            .connectTimeout(timeout)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    if let tls {
                        try channel.pipeline.syncOperations.addHandler(
                            NIOSSLClientHandler(context: tls, serverHostname: nil))
                    }
                    try channel.pipeline.syncOperations.addHandler(
                        ReplyReader(promise, skips: authentication == nil ? 0 : 1))
                }
            }
            .connect(host: endpoint.host, port: endpoint.port)
            .whenComplete { result in
                switch result {
                case .success(let channel):
                    if let authentication { channel.write(authentication.bytes, promise: nil) }
                    channel.writeAndFlush(command.bytes, promise: nil)
                    let overdue = loop.scheduleTask(in: timeout) { channel.close(promise: nil) }
                    promise.futureResult.whenComplete { _ in
                        overdue.cancel()
                        channel.close(promise: nil)
                    }
                case .failure(let error): promise.fail(error)
                }
            }
        return promise.futureResult
    }

    private final class ReplyReader: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer

        private var parser = RESPParser()
        private let promise: EventLoopPromise<RESPValue>
        /// The replies to come before the one that is wanted.
        private var skips: Int

        init(_ promise: EventLoopPromise<RESPValue>, skips: Int) {
            self.promise = promise
            self.skips = skips
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            var bytes = unwrapInboundIn(data)
            parser.append(&bytes)
            do {
                while let value = try parser.next() {
                    if case .error(let text) = value { return promise.fail(ServerError(text).failure) }
                    guard skips > 0 else { return promise.succeed(value) }
                    skips -= 1
                }
            } catch {
                promise.fail(error)
            }
        }

        func channelInactive(context: ChannelHandlerContext) { promise.fail(ChannelError.eof) }
    }
}
