// A bare NIO server that answers every request with the bytes of a file: the most that a server on NIO's HTTP/1.1
// handlers can do. `run.py deny` holds Weir's denials against it.
import Foundation
import NIOCore
import NIOHTTP1
import NIOPosix

guard CommandLine.arguments.count == 3, let port = Int(CommandLine.arguments[1]),
    let text = try? String(contentsOfFile: CommandLine.arguments[2], encoding: .utf8),
    let end = text.range(of: "\r\n\r\n")
else {
    print("usage: Answering PORT FILE   FILE holds a response as it is sent")
    exit(2)
}

let lines = text[..<end.lowerBound].components(separatedBy: "\r\n")
let status = HTTPResponseStatus(statusCode: Int(lines[0].split(separator: " ")[1]) ?? 200)
let fields = HTTPHeaders(
    lines.dropFirst().map { line in
        let parts = line.split(separator: ":", maxSplits: 1)
        return (String(parts[0]), parts[1].trimmingCharacters(in: .whitespaces))
    })
let body = String(text[end.upperBound...])

final class Answering: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard case .end = unwrapInboundIn(data) else { return }
        let head = HTTPResponseHead(version: .http1_1, status: status, headers: fields)
        context.write(wrapOutboundOut(.head(head)), promise: nil)
        context.write(wrapOutboundOut(.body(.byteBuffer(context.channel.allocator.buffer(string: body)))), promise: nil)
        context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
    }
}

let channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup(numberOfThreads: 1))
    .serverChannelOption(.backlog, value: 1024)
    .childChannelOption(.maxMessagesPerRead, value: 1)
    .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
            var encoding = HTTPResponseEncoder.Configuration()
            encoding.automaticallySetFramingHeaders = false
            try channel.pipeline.syncOperations.addHandlers(
                HTTPResponseEncoder(configuration: encoding),
                ByteToMessageHandler(HTTPRequestDecoder(leftOverBytesStrategy: .dropBytes)), Answering())
        }
    }
    .bind(host: "127.0.0.1", port: port).get()
try await channel.closeFuture.get()
