import NIOCore

/// Reads replies from a stream of bytes, however the stream is cut.
struct RESPParser {
    /// The longest string, the most elements of an array and the deepest nesting that are accepted.
    static let longest = 64 << 20
    static let mostElements = 1 << 20
    static let deepest = 16
    /// The longest line: an error's text, or a number.
    static let longestLine = 64 << 10

    private var buffer = ByteBuffer()
    /// How many bytes the next reply needs at least. A slow sender doesn't make the parser start again for each byte.
    private var needed = 0

    mutating func append(_ bytes: inout ByteBuffer) {
        buffer.discardReadBytes()
        buffer.writeBuffer(&bytes)
    }

    /// The next reply; nil if it has not arrived in full.
    mutating func next() throws(RESPError) -> RESPValue? {
        guard buffer.readableBytes > 0, buffer.readableBytes >= needed else { return nil }
        var cursor = buffer
        needed = 0
        guard let value = try parse(&cursor, depth: 0) else { return nil }
        buffer = cursor
        return value
    }

    private mutating func parse(_ cursor: inout ByteBuffer, depth: Int) throws(RESPError) -> RESPValue? {
        guard depth < Self.deepest else { throw RESPError(.depth, "arrays are nested too deeply") }
        guard let kind = cursor.getInteger(at: cursor.readerIndex, as: UInt8.self) else { return nil }
        guard let line = try line(&cursor) else { return nil }
        switch kind {
        case UInt8(ascii: "+"): return .simple(line)
        case UInt8(ascii: "-"): return .error(line)
        case UInt8(ascii: ":"):
            guard let number = Int64(line) else { throw RESPError(.number, "an integer is not a number") }
            return .integer(number)
        case UInt8(ascii: "$"):
            guard let length = Int(line), length >= -1, length <= Self.longest else {
                throw RESPError(.length, "a string's length is malformed or too large")
            }
            if length == -1 { return .null }
            guard cursor.readableBytes >= length + 2 else {
                needed = buffer.readableBytes - cursor.readableBytes + length + 2
                return nil
            }
            guard let string = cursor.readSlice(length: length), cursor.readInteger(as: UInt16.self) == 0x0D0A else {
                throw RESPError(.terminator, "a string does not end where its length says")
            }
            return .string(string)
        case UInt8(ascii: "*"):
            guard let count = Int(line), count >= -1, count <= Self.mostElements else {
                throw RESPError(.length, "an array's length is malformed or too large")
            }
            if count == -1 { return .null }
            var elements: [RESPValue] = []
            for _ in 0..<count {
                guard let element = try parse(&cursor, depth: depth + 1) else { return nil }
                elements.append(element)
            }
            return .array(elements)
        default: throw RESPError(.type, "a reply begins with an unknown byte")
        }
    }

    /// The rest of a line, after its first byte.
    private func line(_ cursor: inout ByteBuffer) throws(RESPError) -> String? {
        let view = cursor.readableBytesView
        guard let end = view.prefix(Self.longestLine).firstIndex(of: UInt8(ascii: "\n")) else {
            if view.count >= Self.longestLine { throw RESPError(.length, "a line is too long") }
            return nil
        }
        let length = end - view.startIndex
        guard length >= 2, view[end - 1] == UInt8(ascii: "\r") else {
            throw RESPError(.terminator, "a line does not end with CR LF")
        }
        cursor.moveReaderIndex(forwardBy: 1)
        let text = cursor.readString(length: length - 2)
        cursor.moveReaderIndex(forwardBy: 2)
        return text
    }
}
