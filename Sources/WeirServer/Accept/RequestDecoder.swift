import NIOCore
import NIOHTTP1

/// NIO's request parser, which also says why a request line can't be served.
///
/// NIO reports an unknown method like noise, and a target that is too long like a header that is too large.
final class RequestDecoder: ByteToMessageDecoder {
    typealias InboundOut = HTTPServerRequestPart

    /// A request line that is sound, but can't be served.
    enum LineError: Error {
        case unknownMethod
        case targetTooLong
    }

    private let parser: HTTPRequestDecoder
    private let maxHeaderSize: Int
    /// Whether bytes of the next head, or of a body before it, have been read.
    private var hasBegun = false
    /// The bytes of the request line that earlier reads brought; nil once it has ended.
    private var lineLength: Int? = 0

    init(maxHeaderSize: Int) {
        self.maxHeaderSize = maxHeaderSize
        var decoding = NIOHTTPDecoderLimitConfiguration()
        decoding.maxHeaderFieldSize = maxHeaderSize
        decoding.maxHeaderListSize = maxHeaderSize
        decoding.maxHeaderFieldCount = HTTP2Request.mostFields
        parser = HTTPRequestDecoder(leftOverBytesStrategy: .dropBytes, limitConfiguration: decoding)
    }

    /// Notes that a head has arrived, so that the next bytes may begin another.
    func headArrived() {
        hasBegun = false
        lineLength = 0
    }

    func decoderAdded(context: ChannelHandlerContext) { parser.decoderAdded(context: context) }

    func decoderRemoved(context: ChannelHandlerContext) { parser.decoderRemoved(context: context) }

    func shouldReclaimBytes(buffer: ByteBuffer) -> Bool { parser.shouldReclaimBytes(buffer: buffer) }

    func decode(context: ChannelHandlerContext, buffer: inout ByteBuffer) throws -> DecodingState {
        let bytes = buffer
        let isFirst = !hasBegun
        hasBegun = true
        do {
            let state = try parser.decode(context: context, buffer: &buffer)
            if hasBegun, let before = lineLength {
                lineLength = bytes.lineLength.isWhole ? nil : before + bytes.readableBytes
            }
            return state
        } catch HTTPParserError.headerOverflow where isTooLong(bytes) {
            throw LineError.targetTooLong
        } catch HTTPParserError.invalidMethod where isFirst && bytes.beginsWithMethod {
            throw LineError.unknownMethod
        }
    }

    /// Whether the request line alone is too long.
    private func isTooLong(_ bytes: ByteBuffer) -> Bool {
        guard let before = lineLength else { return false }
        return before + bytes.lineLength.count > maxHeaderSize
    }

    func decodeLast(context: ChannelHandlerContext, buffer: inout ByteBuffer, seenEOF: Bool) throws -> DecodingState {
        try parser.decodeLast(context: context, buffer: &buffer, seenEOF: seenEOF)
    }
}

extension ByteBuffer {
    /// The bytes up to the first line feed, and whether there is one.
    fileprivate var lineLength: (count: Int, isWhole: Bool) {
        let view = readableBytesView
        guard let end = view.firstIndex(of: UInt8(ascii: "\n")) else { return (view.count, false) }
        return (view.distance(from: view.startIndex, to: end), true)
    }

    /// Whether the bytes begin with a token of capital letters, hyphens and underscores, and a blank.
    fileprivate var beginsWithMethod: Bool {
        let word = readableBytesView.prefix(33).prefix { byte in
            (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte) || byte == UInt8(ascii: "-")
                || byte == UInt8(ascii: "_")
        }
        return (1...32).contains(word.count)
            && readableBytesView.dropFirst(word.count).first == UInt8(ascii: " ")
    }
}
