import NIOCore
import NIOPosix
import NIOSSL

/// Sends one command on a connection of its own, to servers that are only asked now and then, such as sentinels.
enum OneCommand {
    static func ask(
        _ endpoint: RedisAddress.Endpoint, _ command: RESPCommand, on loop: any EventLoop, tls: NIOSSLContext? = nil,
        timeout: TimeAmount = .milliseconds(500)
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
                    try channel.pipeline.syncOperations.addHandler(FirstReply(promise))
                }
            }
            .connect(host: endpoint.host, port: endpoint.port)
            .whenComplete { result in
                switch result {
                case .success(let channel):
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

    private final class FirstReply: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer

        private var parser = RESPParser()
        private let promise: EventLoopPromise<RESPValue>

        init(_ promise: EventLoopPromise<RESPValue>) {
            self.promise = promise
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            var bytes = unwrapInboundIn(data)
            parser.append(&bytes)
            do {
                if let value = try parser.next() { promise.succeed(value) }
            } catch {
                promise.fail(error)
            }
        }

        func channelInactive(context: ChannelHandlerContext) { promise.fail(ChannelError.eof) }
    }
}
