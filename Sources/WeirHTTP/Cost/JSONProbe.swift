/// Reads one value of a JSON document (RFC 8259) and checks the document's syntax, without building the document.
///
/// Hand-written, because a general parser takes the last of two equal keys where the app may take the first, builds
/// values only to discard them, and recurses as deeply as an attacker likes.
struct JSONProbe {
    /// The value at the pointer.
    enum Finding: Equatable {
        case absent
        case null
        /// A number, as written.
        case number(String)
        /// The number of elements of an array, members of an object or characters of a string.
        case length(Int64, isList: Bool)
        case boolean(Bool)
    }

    /// The error for a document that isn't JSON, is nested deeper than ``deepest``, or has a key of the pointer twice.
    struct UnreadableError: Error {}

    /// The deepest nesting that is read, in levels.
    static let deepest = 128

    private let bytes: UnsafeRawBufferPointer
    private var index = 0
    private let tokens: [[UInt8]]
    private var finding = Finding.absent
    /// Whether a key that differs from the pointer's in case alone makes the document unreadable: some apps take it.
    private var refusesOtherCases = false
    /// Where the text at the pointer is.
    private var target: (range: Range<Int>, isEscaped: Bool)?

    /// Returns the value at a pointer.
    ///
    /// - Throws: ``UnreadableError`` if the document can't be relied on, even if the fault isn't at the pointer.
    static func find(_ pointer: JSONPointer, in bytes: UnsafeRawBufferPointer) throws(UnreadableError) -> Finding {
        var probe = JSONProbe(bytes: bytes, tokens: pointer.tokens)
        probe.skipSpace()
        try probe.value(matched: 0, depth: 0)
        probe.skipSpace()
        guard probe.index == bytes.count else { throw UnreadableError() }
        return probe.finding
    }

    /// Returns the value at a pointer as keys and matches compare it.
    ///
    /// - Throws: ``UnreadableError`` as ``find(_:in:)`` does, or if the value is an object, a list or not UTF-8.
    static func value(at pointer: JSONPointer, in bytes: UnsafeRawBufferPointer) throws(UnreadableError) -> BodyValue {
        var probe = JSONProbe(bytes: bytes, tokens: pointer.tokens)
        probe.refusesOtherCases = true
        probe.skipSpace()
        try probe.value(matched: 0, depth: 0)
        probe.skipSpace()
        guard probe.index == bytes.count else { throw UnreadableError() }
        switch probe.finding {
        case .absent, .null: return .absent
        case .number(let text): return BodyValue(text: text)
        case .boolean(let value): return BodyValue(text: value ? "true" : "false")
        case .length:
            guard let target = probe.target else { throw UnreadableError() }
            guard target.range.count <= 6 * BodyValue.longest else { return .unreliable }
            guard let text = try probe.text(target.range, isEscaped: target.isEscaped) else { throw UnreadableError() }
            return BodyValue(text: text)
        }
    }

    private init(bytes: UnsafeRawBufferPointer, tokens: [[UInt8]]) {
        self.bytes = bytes
        self.tokens = tokens
    }

    private var next: UInt8? { index < bytes.count ? bytes[index] : nil }

    private mutating func skipSpace() {
        while let byte = next, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 { index += 1 }
    }

    private mutating func expect(_ byte: UInt8) throws(UnreadableError) {
        guard next == byte else { throw UnreadableError() }
        index += 1
    }

    /// Reads a value.
    ///
    /// - Parameters:
    ///   - matched: the number of the pointer's tokens that lead to this value; nil if it is off the pointer's path.
    ///   - depth: the nesting of the value.
    private mutating func value(matched: Int?, depth: Int) throws(UnreadableError) {
        guard depth <= Self.deepest else { throw UnreadableError() }
        let isTarget = matched == tokens.count
        switch next {
        case UInt8(ascii: "{"):
            let count = try object(matched: isTarget ? nil : matched, depth: depth)
            if isTarget { finding = .length(count, isList: false) }
        case UInt8(ascii: "["):
            let count = try array(matched: isTarget ? nil : matched, depth: depth)
            if isTarget { finding = .length(count, isList: true) }
        case UInt8(ascii: "\""):
            let found = try string()
            if isTarget {
                finding = .length(found.count, isList: false)
                target = (found.range, found.isEscaped)
            }
        case UInt8(ascii: "t"):
            try word("true")
            if isTarget { finding = .boolean(true) }
        case UInt8(ascii: "f"):
            try word("false")
            if isTarget { finding = .boolean(false) }
        case UInt8(ascii: "n"):
            try word("null")
            if isTarget { finding = .null }
        default:
            let start = index
            try number()
            if isTarget { finding = .number(String(decoding: bytes[start..<index], as: UTF8.self)) }
        }
    }

    private mutating func object(matched: Int?, depth: Int) throws(UnreadableError) -> Int64 {
        try expect(UInt8(ascii: "{"))
        skipSpace()
        var count: Int64 = 0
        var seen = false
        if next == UInt8(ascii: "}") {
            index += 1
            return 0
        }
        while true {
            skipSpace()
            var isWanted = false
            if let matched {
                let start = index
                isWanted = try string(equals: tokens[matched])
                if refusesOtherCases, !isWanted, isOtherCase(of: tokens[matched], from: start + 1, to: index - 1) {
                    throw UnreadableError()
                }
            } else {
                _ = try string()
            }
            // With two equal keys, the app may read a different one than we do.
            if isWanted, seen { throw UnreadableError() }
            seen = seen || isWanted
            skipSpace()
            try expect(UInt8(ascii: ":"))
            skipSpace()
            try value(matched: isWanted ? matched.map { $0 + 1 } : nil, depth: depth + 1)
            count += 1
            skipSpace()
            if next == UInt8(ascii: ",") {
                index += 1
                continue
            }
            try expect(UInt8(ascii: "}"))
            return count
        }
    }

    private mutating func array(matched: Int?, depth: Int) throws(UnreadableError) -> Int64 {
        try expect(UInt8(ascii: "["))
        skipSpace()
        var count: Int64 = 0
        let wanted: Int64? = matched.flatMap { level in
            let text = String(decoding: tokens[level], as: UTF8.self)
            return text == "0" || text.first != "0" ? Int64(text) : nil
        }
        if next == UInt8(ascii: "]") {
            index += 1
            return 0
        }
        while true {
            skipSpace()
            try value(matched: wanted == count ? matched.map { $0 + 1 } : nil, depth: depth + 1)
            count += 1
            skipSpace()
            if next == UInt8(ascii: ",") {
                index += 1
                continue
            }
            try expect(UInt8(ascii: "]"))
            return count
        }
    }

    /// Reads a string. Returns its range without the quotes, whether it has escapes, and its length in characters.
    @discardableResult
    private mutating func string() throws(UnreadableError) -> (range: Range<Int>, isEscaped: Bool, count: Int64) {
        try expect(UInt8(ascii: "\""))
        let start = index
        var isEscaped = false
        var count: Int64 = 0
        while let byte = next {
            index += 1
            switch byte {
            case UInt8(ascii: "\""): return (start..<(index - 1), isEscaped, count)
            case UInt8(ascii: "\\"):
                isEscaped = true
                count += 1
                try escape()
            case 0..<0x20: throw UnreadableError()
            // Count a character at its first byte, not at continuation bytes.
            default: if byte & 0xC0 != 0x80 { count += 1 }
            }
        }
        throw UnreadableError()
    }

    /// Reads an escape after its backslash. Returns the UTF-16 code unit that it stands for.
    @discardableResult
    private mutating func escape() throws(UnreadableError) -> UInt32 {
        guard let byte = next else { throw UnreadableError() }
        index += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return UInt32(byte)
        case UInt8(ascii: "b"): return 0x08
        case UInt8(ascii: "f"): return 0x0C
        case UInt8(ascii: "n"): return 0x0A
        case UInt8(ascii: "r"): return 0x0D
        case UInt8(ascii: "t"): return 0x09
        case UInt8(ascii: "u"):
            var value: UInt32 = 0
            for _ in 0..<4 {
                guard let digit = next, let number = Character(UnicodeScalar(digit)).hexDigitValue else {
                    throw UnreadableError()
                }
                value = value << 4 | UInt32(number)
                index += 1
            }
            return value
        default: throw UnreadableError()
        }
    }

    /// Whether a key, between its quotes, is a name in another case.
    private func isOtherCase(of name: [UInt8], from start: Int, to end: Int) -> Bool {
        // The longest escape has six bytes, and letters that fold to others have at most three.
        guard end - start >= name.count, end - start <= 6 * name.count else { return false }
        var copy = JSONProbe(bytes: bytes, tokens: tokens)
        guard let key = try? copy.text(start..<end, isEscaped: bytes[start..<end].contains(UInt8(ascii: "\\"))) else {
            return false
        }
        // By way of capitals, as the Kelvin sign and the long s fold to letters of ASCII.
        return key.uppercased().lowercased() == String(decoding: name, as: UTF8.self).uppercased().lowercased()
    }

    /// Reads a key and compares it with a name. Resolves escapes as the app does: `"in\u0070uts"` is `inputs`.
    private mutating func string(equals name: [UInt8]) throws(UnreadableError) -> Bool {
        let (range, isEscaped, _) = try string()
        if !isEscaped { return bytes[range].elementsEqual(name) }
        return try text(range, isEscaped: true)?.utf8.elementsEqual(name) ?? false
    }

    /// Resolves a string's escapes. Returns nil if it isn't UTF-8.
    private mutating func text(_ range: Range<Int>, isEscaped: Bool) throws(UnreadableError) -> String? {
        guard isEscaped else { return String(validating: bytes[range], as: UTF8.self) }
        let end = index
        index = range.lowerBound
        var units: [UInt16] = []
        while index < range.upperBound {
            if bytes[index] == UInt8(ascii: "\\") {
                index += 1
                units.append(UInt16(truncatingIfNeeded: try escape()))
            } else {
                let plain = index
                while index < range.upperBound, bytes[index] != UInt8(ascii: "\\") { index += 1 }
                guard let piece = String(validating: bytes[plain..<index], as: UTF8.self) else {
                    index = end
                    return nil
                }
                units += Array(piece.utf16)
            }
        }
        index = end
        return String(validating: units, as: UTF16.self)
    }

    private mutating func word(_ text: StaticString) throws(UnreadableError) {
        for offset in 0..<text.utf8CodeUnitCount {
            try expect(text.utf8Start[offset])
        }
    }

    private mutating func digits() throws(UnreadableError) {
        let start = index
        while let byte = next, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) { index += 1 }
        guard index > start else { throw UnreadableError() }
    }

    private mutating func number() throws(UnreadableError) {
        if next == UInt8(ascii: "-") { index += 1 }
        if next == UInt8(ascii: "0") {
            index += 1
        } else {
            try digits()
        }
        if next == UInt8(ascii: ".") {
            index += 1
            try digits()
        }
        if next == UInt8(ascii: "e") || next == UInt8(ascii: "E") {
            index += 1
            if next == UInt8(ascii: "+") || next == UInt8(ascii: "-") { index += 1 }
            try digits()
        }
    }
}
