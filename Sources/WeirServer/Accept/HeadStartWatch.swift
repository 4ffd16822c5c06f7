import NIOCore

/// Notices the first byte of a request before its head is whole, so that a head sent drop by drop has a deadline.
final class HeadStartWatch: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    private let flow: RequestFlow

    init(_ flow: RequestFlow) {
        self.flow = flow
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        flow.bytesArrived()
        context.fireChannelRead(data)
    }
}
