import NIOCore
import NIOHPACK
import NIOHTTP1
import NIOHTTP2
import NIOPosix
import NIOSSL

/// Sends one request over HTTP/2 on a connection of its own, and reads the answer to its end.
///
/// - Parameter usesTLS: whether to speak TLS, with whatever certificate the server has.
public func exchangeOverHTTP2(
    _ port: Int, _ method: String, _ path: String, headers: [String: String] = [:], body: String? = nil,
    usesTLS: Bool = false
) async throws -> RawResponse {
    let loop = MultiThreadedEventLoopGroup.singleton.any()
    let streams = loop.makePromise(of: NIOHTTP2Handler.StreamMultiplexer.self)
    let channel = try await ClientBootstrap(group: loop)
        .channelInitializer { channel in
            // All handlers must be there before the first bytes arrive: over TLS, the server speaks first.
            channel.eventLoop.makeCompletedFuture {
                if usesTLS {
                    var configuration = TLSConfiguration.makeClientConfiguration()
                    configuration.certificateVerification = .none
                    configuration.applicationProtocols = ["h2"]
                    try channel.pipeline.syncOperations.addHandler(
                        NIOSSLClientHandler(
                            context: NIOSSLContext(configuration: configuration), serverHostname: "localhost"))
                }
                streams.succeed(
                    try channel.pipeline.syncOperations.configureHTTP2Pipeline(
                        mode: .client, connectionConfiguration: .init(), streamConfiguration: .init()
                    ) { $0.close() })
            }
        }
        .connect(host: "127.0.0.1", port: port)
        .flatMapErrorThrowing { error in
            streams.fail(error)
            throw error
        }
        .get()
    let multiplexer = try await streams.futureResult.get()
    let answer = channel.eventLoop.makePromise(of: RawResponse.self)
    multiplexer.createStreamChannel { stream in
        stream.eventLoop.makeCompletedFuture {
            var fields: HPACKHeaders = [
                ":method": method, ":scheme": usesTLS ? "https" : "http", ":path": path, ":authority": "localhost",
            ]
            for (name, value) in headers { fields.add(name: name.lowercased(), value: value) }
            if let body { fields.add(name: "content-length", value: String(body.utf8.count)) }
            try stream.pipeline.syncOperations.addHandler(Collector(fields, body: body, answer))
        }
    }.whenFailure { answer.fail($0) }
    channel.closeFuture.whenComplete { _ in answer.fail(ChannelError.eof) }
    let late = channel.eventLoop.scheduleTask(in: .seconds(20)) { answer.fail(ChannelError.eof) }
    let result = await answer.futureResult.result
    late.cancel()
    channel.close(promise: nil)
    return try result.get()
}

extension EventLoopFuture where Value: Sendable {
    fileprivate var result: Result<Value, any Error> {
        get async {
            do { return .success(try await get()) } catch { return .failure(error) }
        }
    }
}

/// Sends a request on its stream and collects the response.
private final class Collector: ChannelInboundHandler {
    typealias InboundIn = HTTP2Frame.FramePayload
    typealias OutboundOut = HTTP2Frame.FramePayload

    private let fields: HPACKHeaders
    private let request: String?
    private let answer: EventLoopPromise<RawResponse>
    private var status = 0
    private var headers: [(name: String, value: String)] = []
    private var body = ByteBuffer()

    init(_ fields: HPACKHeaders, body: String?, _ answer: EventLoopPromise<RawResponse>) {
        self.fields = fields
        request = body
        self.answer = answer
    }

    func channelActive(context: ChannelHandlerContext) {
        let hasBody = request?.isEmpty == false
        context.write(wrapOutboundOut(.headers(.init(headers: fields, endStream: !hasBody))), promise: nil)
        if let request, hasBody {
            context.write(
                wrapOutboundOut(.data(.init(data: .byteBuffer(ByteBuffer(string: request)), endStream: true))),
                promise: nil)
        }
        context.flush()
        context.fireChannelActive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var hasEnded = false
        switch unwrapInboundIn(data) {
        case .headers(let part):
            hasEnded = part.endStream
            for (name, value, _) in part.headers {
                if name == ":status" {
                    status = Int(value) ?? 0
                } else {
                    headers.append((name, value))
                }
            }
        case .data(let part):
            hasEnded = part.endStream
            if case .byteBuffer(var bytes) = part.data { body.writeBuffer(&bytes) }
        default: break
        }
        if hasEnded { answer.succeed(RawResponse(status: status, headers: headers, body: String(buffer: body))) }
    }

    func channelInactive(context: ChannelHandlerContext) {
        answer.fail(ChannelError.eof)
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        answer.fail(error)
        context.close(promise: nil)
    }
}
