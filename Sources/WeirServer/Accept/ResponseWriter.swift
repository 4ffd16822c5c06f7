import NIOCore
import NIOHTTP1
import WeirHTTP

/// Writes HTTP/1.1 responses (RFC 9112) into one buffer, so that a small response is one write.
///
/// NIO's encoder takes a response's head, body and end separately, boxes each, and writes each into its own buffer.
/// That costs more than the rest of a denial.
struct ResponseWriter {
    private var buffer: ByteBuffer?
    private var isChunked = false

    /// Longer parts of a body, in bytes, are passed on without a copy.
    private static let mostCopied = 8192

    // MARK: Whole answers

    /// Adds Weir's own answer.
    ///
    /// - Parameters:
    ///   - connection: the value of the `Connection` field, if any.
    ///   - omitsBody: whether it is an answer to HEAD.
    mutating func add(_ answer: Answer, connection: StaticString?, omitsBody: Bool, _ allocator: ByteBufferAllocator) {
        begin(HTTPResponseStatus(statusCode: answer.status), allocator)
        for (name, value) in answer.fields { add(name, value) }
        buffer?.writeStaticString("Content-Length: ")
        buffer?.writeString(String(answer.body.utf8.count))
        buffer?.writeStaticString("\r\n")
        add(connection: connection)
        buffer?.writeStaticString("\r\n")
        if !omitsBody { buffer?.writeString(answer.body) }
    }

    /// Adds `100 Continue`, which asks the client for its body.
    mutating func addContinue(_ allocator: ByteBufferAllocator) {
        begin(.continue, allocator)
        buffer?.writeStaticString("\r\n")
    }

    // MARK: Responses that come in parts

    mutating func add(
        _ head: ResponseHeader, isChunked: Bool, connection: StaticString?, _ allocator: ByteBufferAllocator
    ) {
        self.isChunked = isChunked
        begin(head.status, allocator)
        for (name, value) in head.fields { add(name, value) }
        if isChunked { buffer?.writeStaticString("Transfer-Encoding: chunked\r\n") }
        add(connection: connection)
        buffer?.writeStaticString("\r\n")
    }

    /// Adds a part of the body.
    ///
    /// - Returns: the buffers to write at once, because the part is too large to copy; usually none.
    mutating func add(_ body: ByteBuffer, _ allocator: ByteBufferAllocator) -> [ByteBuffer] {
        guard body.readableBytes > 0 else { return [] }
        if isChunked { writeSize(of: body, allocator) }
        if body.readableBytes <= Self.mostCopied, (buffer?.readableBytes ?? 0) <= 4 * Self.mostCopied {
            if buffer == nil { buffer = allocator.buffer(capacity: body.readableBytes + 64) }
            var body = body
            buffer?.writeBuffer(&body)
            if isChunked { buffer?.writeStaticString("\r\n") }
            return []
        }
        var buffers: [ByteBuffer] = []
        if let waiting = take() { buffers.append(waiting) }
        buffers.append(body)
        if isChunked {
            buffer = allocator.buffer(capacity: 64)
            buffer?.writeStaticString("\r\n")
        }
        return buffers
    }

    /// Ends a response that came in parts.
    mutating func end(_ trailers: HTTPHeaders?, _ allocator: ByteBufferAllocator) {
        guard isChunked else { return }
        isChunked = false
        if buffer == nil { buffer = allocator.buffer(capacity: 64) }
        buffer?.writeStaticString("0\r\n")
        if let trailers { for (name, value) in trailers { add(name, value) } }
        buffer?.writeStaticString("\r\n")
    }

    /// Takes everything that waits to be written.
    mutating func take() -> ByteBuffer? {
        defer { buffer = nil }
        return buffer
    }

    // MARK: Pieces

    private mutating func begin(_ status: HTTPResponseStatus, _ allocator: ByteBufferAllocator) {
        if buffer == nil { buffer = allocator.buffer(capacity: 1024) }
        switch status {
        case .ok: buffer?.writeStaticString("HTTP/1.1 200 OK\r\n")
        case .tooManyRequests: buffer?.writeStaticString("HTTP/1.1 429 Too Many Requests\r\n")
        default:
            buffer?.writeStaticString("HTTP/1.1 ")
            buffer?.writeString(String(status.code))
            buffer?.writeStaticString(" ")
            buffer?.writeString(status.reasonPhrase)
            buffer?.writeStaticString("\r\n")
        }
    }

    private mutating func add(_ name: String, _ value: String) {
        buffer?.writeString(name)
        buffer?.writeStaticString(": ")
        buffer?.writeString(value)
        buffer?.writeStaticString("\r\n")
    }

    private mutating func add(connection value: StaticString?) {
        guard let value else { return }
        buffer?.writeStaticString("Connection: ")
        buffer?.writeStaticString(value)
        buffer?.writeStaticString("\r\n")
    }

    private mutating func writeSize(of body: ByteBuffer, _ allocator: ByteBufferAllocator) {
        if buffer == nil { buffer = allocator.buffer(capacity: body.readableBytes + 64) }
        buffer?.writeString(String(body.readableBytes, radix: 16))
        buffer?.writeStaticString("\r\n")
    }
}
