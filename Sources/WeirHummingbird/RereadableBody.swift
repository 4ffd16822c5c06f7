import Hummingbird
import NIOCore
import WeirHTTP

/// The part of a body that was already read, followed by the rest.
///
/// It is Sendable because the handler takes it over, as it would the original body.
final class RereadableBody: AsyncSequence, AsyncIteratorProtocol, @unchecked Sendable {
    private var read: ArraySlice<ByteBuffer>
    private var rest: HummingbirdCore.RequestBody.AsyncIterator

    init(read: [ByteBuffer], rest: HummingbirdCore.RequestBody.AsyncIterator) {
        self.read = read[...]
        self.rest = rest
    }

    func next() async throws -> ByteBuffer? {
        if let first = read.popFirst() { return first }
        return try await rest.next()
    }

    func makeAsyncIterator() -> RereadableBody { self }
}

extension Request {
    /// Reads the body for a limit, and leaves all of it for the handler.
    ///
    /// - Returns: nil when there is no memory for it.
    mutating func readBody(atMost most: Int, memory: SharedRoom) async throws -> ReceivedBody? {
        var read: [ByteBuffer] = []
        var count = 0
        var taken = 0
        defer { memory.giveBack(taken) }
        var iterator = body.makeAsyncIterator()
        while let part = try await iterator.next() {
            guard memory.take(part.readableBytes) else { return nil }
            taken += part.readableBytes
            read.append(part)
            count += part.readableBytes
            guard count <= most else {
                body = .init(asyncSequence: RereadableBody(read: read, rest: iterator))
                return .unreadable
            }
        }
        var whole = ByteBuffer()
        for var part in read { whole.writeBuffer(&part) }
        body = .init(buffer: whole)
        return .bytes(Array(whole.readableBytesView))
    }
}
