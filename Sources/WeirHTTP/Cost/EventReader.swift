#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// Finds the data of server-sent events in bytes that arrive in pieces (WHATWG HTML, 9.2.6). It keeps nothing of them.
struct EventReader {
    enum Finding {
        /// Data of the present event, as a part of the bytes.
        case data(Range<Int>)
        /// The data goes on in a further line.
        case newline
        /// The event has ended.
        case end
    }

    private enum Line {
        case start
        /// The first letters of a field that may be `data`.
        case name(Int)
        /// After the colon, where one blank is skipped.
        case colon
        case data
        case ignored
    }

    private var line = Line.start
    private var lastWasReturn = false
    /// Whether the event has a line of data.
    private(set) var hasData = false
    /// The bytes of a byte order mark that have been skipped; nil once the stream has begun.
    private var mark: Int? = 0

    private static let name = Array("data".utf8)
    private static let byteOrderMark: [UInt8] = [0xEF, 0xBB, 0xBF]

    /// Reads on in a piece of the stream.
    ///
    /// - Parameter index: where to read on; moved past what was read.
    /// - Returns: what was found; nil at the piece's end.
    mutating func next(in bytes: UnsafeRawBufferPointer, from index: inout Int) -> Finding? {
        while index < bytes.count {
            switch line {
            case .data, .ignored:
                let start = index
                index = Self.lineEnd(in: bytes, from: start)
                if case .data = line, index > start { return .data(start..<index) }
                if index == bytes.count { return nil }
            case .start, .name, .colon: break
            }
            let byte = bytes[index]
            if case .colon = line, byte != 0x20, byte != 0x0A, byte != 0x0D {
                line = .data
                continue
            }
            index += 1
            if let finding = step(byte) { return finding }
        }
        return nil
    }

    /// The next line feed or carriage return, or the end.
    private static func lineEnd(in bytes: UnsafeRawBufferPointer, from start: Int) -> Int {
        guard let base = bytes.baseAddress, start < bytes.count else { return bytes.count }
        let begin = base + start
        let length = memchr(begin, 0x0A, bytes.count - start).map { begin.distance(to: $0) } ?? (bytes.count - start)
        let end = memchr(begin, 0x0D, length).map { begin.distance(to: $0) } ?? length
        return start + end
    }

    private mutating func step(_ byte: UInt8) -> Finding? {
        if let skipped = mark {
            if skipped < 3, byte == Self.byteOrderMark[skipped] {
                mark = skipped + 1
                return nil
            }
            mark = nil
        }
        let isSecondHalf = lastWasReturn && byte == 0x0A
        lastWasReturn = byte == 0x0D
        if isSecondHalf { return nil }
        if byte == 0x0A || byte == 0x0D { return endLine() }
        switch line {
        case .start: line = byte == Self.name[0] ? .name(1) : .ignored
        case .name(4):
            if byte == UInt8(ascii: ":") {
                line = .colon
                return beginData()
            }
            line = .ignored
        case .name(let count): line = byte == Self.name[count] ? .name(count + 1) : .ignored
        case .colon: line = .data
        case .data, .ignored: break
        }
        return nil
    }

    private mutating func beginData() -> Finding? {
        defer { hasData = true }
        return hasData ? .newline : nil
    }

    private mutating func endLine() -> Finding? {
        defer { line = .start }
        // A line of the name alone is an empty line of data.
        if case .name(4) = line { return beginData() }
        guard case .start = line, hasData else { return nil }
        hasData = false
        return .end
    }
}
