import NIOCore
import NIOHPACK
import NIOHTTP1
import WeirHTTP

extension HPACKHeaders {
    /// The largest header, in bytes, once encoded. NIO writes a header in one frame, and a client need not take a
    /// larger frame (RFC 9113, 4.2). Some bytes are for updates of the table's size.
    static let mostEncoded = 16_384 - 16
    /// The part of it that is kept for Weir's own fields.
    private static let reserved = 4096

    init(status: Int, reserving count: Int) {
        self.init()
        reserveCapacity(count + 1)
        add(name: ":status", value: String(status))
    }

    init(_ header: ResponseHeader) {
        self.init(status: Int(header.status.code), reserving: header.fields.count)
        add(header.fields)
    }

    /// Adds fields of HTTP/1.1, whose names may have upper-case letters (RFC 9113, 8.2.1).
    ///
    /// None is entered into the compression table. The client chooses that table's size, up to 4 GB, and could have it
    /// filled with values of its own choice.
    mutating func add(_ fields: some Sequence<(String, String)>) {
        for (name, value) in fields {
            add(name: name.lowercased(), value: value.trimmingBlanks(), indexing: .nonIndexable)
        }
    }

    /// Whether the header can be written.
    var fitsFrame: Bool { encodedSize(isAtMost: Self.mostEncoded) }

    /// Whether an upstream's header can be written, with Weir's own fields beside it.
    static func fits(_ head: HTTPResponseHead) -> Bool {
        // A field only gets shorter when its blanks are trimmed, so most headers need not be copied to know.
        let limit = mostEncoded - reserved
        if head.headers.reduce(0, { $0 + longestSize($1.name, $1.value) }) <= limit { return true }
        var fields = HPACKHeaders()
        fields.add(head.headers.lazy.map { ($0.name, $0.value) })
        return fields.encodedSize(isAtMost: limit)
    }

    /// More than a field can take. The longest code has 30 bits (RFC 7541, appendix B), so most headers need not be
    /// encoded to know that they fit.
    private static func longestSize(_ name: String, _ value: String) -> Int {
        4 * (name.utf8.count + value.utf8.count) + 16
    }

    private func encodedSize(isAtMost limit: Int) -> Bool {
        var longest = 0
        for (name, value, _) in self { longest += Self.longestSize(name, value) }
        if longest <= limit { return true }
        var encoder = HPACKEncoder(allocator: ByteBufferAllocator())
        var encoded = ByteBuffer()
        do { try encoder.encode(headers: self, to: &encoded) } catch { return false }
        return encoded.readableBytes <= limit
    }
}
