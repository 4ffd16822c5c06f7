/// Finds the data of server-sent events in bytes that arrive in pieces (WHATWG HTML, 9.2.6). It keeps nothing of them.
struct EventReader {
    enum Finding {
        /// Data of the present event.
        case data(UnsafeRawBufferPointer)
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

    /// Reads the next piece of the stream.
    mutating func read(_ bytes: UnsafeRawBufferPointer, _ body: (Finding) -> Void) {
        var index = 0
        while index < bytes.count {
            if case .data = line {
                let start = index
                while index < bytes.count, bytes[index] != 0x0A, bytes[index] != 0x0D { index += 1 }
                if index > start { body(.data(UnsafeRawBufferPointer(rebasing: bytes[start..<index]))) }
                if index == bytes.count { return }
            }
            step(bytes[index], body)
            index += 1
        }
    }

    private mutating func step(_ byte: UInt8, _ body: (Finding) -> Void) {
        if let skipped = mark {
            if skipped < 3, byte == Self.byteOrderMark[skipped] { return mark = skipped + 1 }
            mark = nil
        }
        let isSecondHalf = lastWasReturn && byte == 0x0A
        lastWasReturn = byte == 0x0D
        if isSecondHalf { return }
        if byte == 0x0A || byte == 0x0D { return endLine(body) }
        switch line {
        case .start: line = byte == Self.name[0] ? .name(1) : .ignored
        case .name(4): if byte == UInt8(ascii: ":") { beginData(body) } else { line = .ignored }
        case .name(let count): line = byte == Self.name[count] ? .name(count + 1) : .ignored
        case .colon:
            line = .data
            if byte != 0x20 { withUnsafeBytes(of: byte) { body(.data($0)) } }
        case .data, .ignored: break
        }
    }

    private mutating func beginData(_ body: (Finding) -> Void) {
        if hasData { body(.newline) }
        hasData = true
        line = .colon
    }

    private mutating func endLine(_ body: (Finding) -> Void) {
        if case .start = line, hasData {
            hasData = false
            body(.end)
        }
        // A line of the name alone is an empty line of data.
        if case .name(4) = line { beginData(body) }
        line = .start
    }
}
