/// Reads numbers of JSON documents (RFC 8259) that arrive in pieces, without keeping them.
///
/// What it needs is bounded, whatever the length of a document: a level of nesting each, and the text of one key or
/// number. Parts of a document off every pointer's path are only checked for balanced brackets and quotes.
struct JSONScanner {
    /// What a document has at a pointer.
    enum Finding: Equatable {
        case absent
        case number(Int64)
        /// It is there twice, or is no number.
        case unreadable
    }

    private enum State {
        /// Before a value, or before the end of an empty list.
        case value
        /// Before a key, or before the end of an empty object.
        case key
        /// In a key, after its quote.
        case inKey
        case colon
        case afterValue
        /// In a string that nobody needs.
        case string
        /// In a number, or in `true`, `false` or `null`.
        case word
        /// After the document.
        case end
        case failed
    }

    /// An open object or list.
    private struct Level {
        var isObject: Bool
        /// The pointers whose path leads here, one bit each.
        var matching: UInt64
        /// The next element of a list.
        var index: Int64 = 0
    }

    private let pointers: [JSONPointer]
    /// All pointers that have a token at a depth.
    private let longestKey: Int
    private(set) var findings: [Finding]
    private var state = State.value
    private var levels: [Level] = []
    /// The pointers that lead to the value that follows.
    private var matching: UInt64
    /// The key or number under way.
    private var text: [UInt8] = []
    private var isTextTooLong = false
    private var isEscaped = false
    /// The digits of a `\u` escape that are still to come, and its value.
    private var escapeDigits = 0
    private var escapeValue: UInt32 = 0
    /// The first half of a surrogate pair.
    private var highSurrogate: UInt32 = 0
    private var hasBegun = false

    static let deepest = JSONProbe.deepest
    private static let longestNumber = 64

    init(_ pointers: [JSONPointer]) {
        self.pointers = Array(pointers.prefix(BodyCost.mostPointers))
        findings = Array(repeating: .absent, count: self.pointers.count)
        matching = self.pointers.count == 64 ? .max : (1 << UInt64(self.pointers.count)) - 1
        longestKey = self.pointers.flatMap { $0.tokens.map(\.count) }.max() ?? 0
    }

    /// Whether a document has begun.
    var isEmpty: Bool { !hasBegun }

    /// Forgets the document, to begin the next one.
    mutating func reset() { self = JSONScanner(pointers) }

    /// Whether the document that was read is whole.
    mutating func finish() -> Bool {
        if case .word = state { endWord() }
        if case .end = state { return true }
        return false
    }

    /// Reads the next piece of the document.
    mutating func read(_ bytes: UnsafeRawBufferPointer) {
        var index = 0
        while index < bytes.count {
            switch state {
            case .string: index = skipString(bytes, from: index)
            case .inKey:
                readKey(bytes[index])
                index += 1
            case .word: index = readWord(bytes, from: index)
            case .failed: return
            case .value, .key, .colon, .afterValue, .end:
                // Most of a long document is off every path.
                if matching == 0, levels.last?.matching == 0, case .value = state {
                    index = skipOffPath(bytes, from: index)
                    if index >= bytes.count { return }
                }
                structure(bytes[index])
                index += 1
            }
        }
    }

    /// Skips bytes that change neither the nesting nor the path.
    private func skipOffPath(_ bytes: UnsafeRawBufferPointer, from start: Int) -> Int {
        guard levels.last?.isObject == false else { return start }
        var index = start
        // A list's numbers, commas and blanks, such as an embedding's.
        while index < bytes.count {
            let byte = bytes[index]
            if byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "{") || byte == UInt8(ascii: "[")
                || byte == UInt8(ascii: "]") || byte == UInt8(ascii: "}")
            {
                break
            }
            index += 1
        }
        return index
    }

    private mutating func skipString(_ bytes: UnsafeRawBufferPointer, from start: Int) -> Int {
        var index = start
        while index < bytes.count {
            let byte = bytes[index]
            index += 1
            if isEscaped {
                isEscaped = false
            } else if byte == UInt8(ascii: "\\") {
                isEscaped = true
            } else if byte == UInt8(ascii: "\"") {
                endValue()
                return index
            }
        }
        return index
    }

    // MARK: Structure

    private mutating func structure(_ byte: UInt8) {
        if byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 { return }
        hasBegun = true
        switch (state, byte) {
        case (.value, UInt8(ascii: "{")): open(isObject: true)
        case (.value, UInt8(ascii: "[")): open(isObject: false)
        case (.value, UInt8(ascii: "\"")):
            found(.unreadable)
            state = .string
        case (.value, UInt8(ascii: "]")) where levels.last?.isObject == false: close()
        case (.value, UInt8(ascii: "-")), (.value, UInt8(ascii: "0")...UInt8(ascii: "9")),
            (.value, UInt8(ascii: "a")...UInt8(ascii: "z")):
            text.removeAll(keepingCapacity: true)
            isTextTooLong = false
            text.append(byte)
            state = .word
        case (.key, UInt8(ascii: "\"")):
            text.removeAll(keepingCapacity: true)
            isTextTooLong = false
            state = .inKey
        case (.key, UInt8(ascii: "}")): close()
        case (.colon, UInt8(ascii: ":")): state = .value
        case (.afterValue, UInt8(ascii: ",")):
            guard let level = levels.last else { return state = .failed }
            if level.isObject {
                state = .key
            } else {
                levels[levels.count - 1].index += 1
                beginElement()
            }
        case (.afterValue, UInt8(ascii: "}")) where levels.last?.isObject == true: close()
        case (.afterValue, UInt8(ascii: "]")) where levels.last?.isObject == false: close()
        default: state = .failed
        }
    }

    private mutating func open(isObject: Bool) {
        guard levels.count < Self.deepest else { return state = .failed }
        found(.unreadable)
        levels.append(Level(isObject: isObject, matching: matching))
        if isObject {
            state = .key
        } else {
            beginElement()
        }
    }

    /// Finds the pointers that lead to a list's next element.
    private mutating func beginElement() {
        state = .value
        guard let level = levels.last, level.matching != 0 else { return matching = 0 }
        let name = Array(String(level.index).utf8)
        matching = narrowed(level.matching, to: name)
    }

    private func narrowed(_ bits: UInt64, to name: [UInt8]) -> UInt64 {
        let depth = levels.count - 1
        var result: UInt64 = 0
        for index in pointers.indices where bits & 1 << UInt64(index) != 0 {
            let tokens = pointers[index].tokens
            if depth < tokens.count, tokens[depth] == name { result |= 1 << UInt64(index) }
        }
        return result
    }

    private mutating func close() {
        guard levels.popLast() != nil else { return state = .failed }
        endValue()
    }

    private mutating func endValue() {
        matching = 0
        state = levels.isEmpty ? .end : .afterValue
    }

    /// Notes the value for the pointers that end here.
    private mutating func found(_ finding: Finding) {
        guard matching != 0 else { return }
        for index in pointers.indices where matching & 1 << UInt64(index) != 0 {
            guard pointers[index].tokens.count == levels.count else { continue }
            findings[index] = findings[index] == .absent ? finding : .unreadable
        }
    }

    // MARK: Words

    private mutating func readWord(_ bytes: UnsafeRawBufferPointer, from start: Int) -> Int {
        var index = start
        while index < bytes.count {
            switch bytes[index] {
            case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "-"), UInt8(ascii: "+"),
                UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "E"):
                if text.count < Self.longestNumber { text.append(bytes[index]) } else { isTextTooLong = true }
                index += 1
            default:
                endWord()
                return index
            }
        }
        return index
    }

    private mutating func endWord() {
        let first = text.first ?? 0
        if first == UInt8(ascii: "n") {
            // A null is no usage yet, as in a stream's earlier events.
            guard text.elementsEqual("null".utf8) else { return state = .failed }
        } else if first == UInt8(ascii: "t") || first == UInt8(ascii: "f") {
            guard text.elementsEqual("true".utf8) || text.elementsEqual("false".utf8) else { return state = .failed }
            found(.unreadable)
        } else if matching != 0 {
            switch CostReading(number: String(decoding: text, as: UTF8.self)) {
            case .units(let units):
                // A number of more digits than fit is more than any limit allows, or a fraction that makes no
                // difference.
                let isWhole = !text.contains(UInt8(ascii: "."))
                found(.number(isTextTooLong && isWhole ? CostReading.enormous : units))
            case .absent, .unreadable: return state = .failed
            }
        }
        endValue()
    }

    // MARK: Keys

    private mutating func readKey(_ byte: UInt8) {
        if escapeDigits > 0 {
            guard let digit = Character(UnicodeScalar(byte)).hexDigitValue else { return state = .failed }
            escapeValue = escapeValue << 4 | UInt32(digit)
            escapeDigits -= 1
            if escapeDigits == 0 { endUnicodeEscape() }
            return
        }
        if isEscaped {
            isEscaped = false
            switch byte {
            case UInt8(ascii: "u"):
                escapeDigits = 4
                escapeValue = 0
            case UInt8(ascii: "b"): append(0x08)
            case UInt8(ascii: "f"): append(0x0C)
            case UInt8(ascii: "n"): append(0x0A)
            case UInt8(ascii: "r"): append(0x0D)
            case UInt8(ascii: "t"): append(0x09)
            case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): append(byte)
            default: state = .failed
            }
            return
        }
        switch byte {
        case UInt8(ascii: "\\"): isEscaped = true
        case UInt8(ascii: "\""): endKey()
        default: append(byte)
        }
    }

    private mutating func endUnicodeEscape() {
        if (0xD800..<0xDC00).contains(escapeValue) {
            highSurrogate = escapeValue
            return
        }
        var scalar = escapeValue
        if (0xDC00..<0xE000).contains(scalar), highSurrogate != 0 {
            scalar = 0x10000 + (highSurrogate - 0xD800) << 10 + (scalar - 0xDC00)
        }
        highSurrogate = 0
        guard let unicode = UnicodeScalar(scalar) else { return isTextTooLong = true }
        for byte in Character(unicode).utf8 { append(byte) }
    }

    private mutating func append(_ byte: UInt8) {
        if text.count < longestKey { text.append(byte) } else { isTextTooLong = true }
    }

    private mutating func endKey() {
        state = .colon
        guard let level = levels.last, level.matching != 0, !isTextTooLong else { return matching = 0 }
        matching = narrowed(level.matching, to: text)
    }
}
