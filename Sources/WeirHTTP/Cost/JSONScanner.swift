/// Reads numbers of JSON documents (RFC 8259) that arrive in pieces, without keeping them.
///
/// Its memory is bounded, whatever the length of a document: a level for each token of the longest pointer, and the
/// text of one key or number. What lies off every pointer's path is only checked for balanced brackets and quotes.
struct JSONScanner {
    /// The value that a document has at a pointer.
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
        /// In an object or list off the path, and in a string in it.
        case offPath, offPathString
        /// In a string on the path.
        case string
        /// In a number, or in `true`, `false` or `null`.
        case word
        /// After the document.
        case end
        case failed
    }

    /// An open object or list that leads to a pointer.
    private struct Level {
        var isObject: Bool
        var node: Int
        /// The next element of a list.
        var index = 0
    }

    private let tree: JSONPointerTree
    /// What was found at each pointer.
    private(set) var findings: [Finding]
    /// Whether anything was found.
    private(set) var hasFindings = false
    /// Whether a document has begun.
    private(set) var hasBegun = false
    private var state = State.value
    private var levels: [Level] = []
    /// The tree's node of the value that follows; nil when no pointer leads there.
    private var node: Int? = 0
    /// The open brackets off the path.
    private var offPathDepth = 0
    /// The key or number under way.
    private var text: [UInt8] = []
    private var isTextTooLong = false
    private var isEscaped = false
    /// The digits of a `\u` escape that are still to come, and its value.
    private var escapeDigits = 0
    private var escapeValue: UInt32 = 0
    /// The first half of a surrogate pair.
    private var highSurrogate: UInt32 = 0

    private static let longestNumber = 64

    init(_ tree: JSONPointerTree) {
        self.tree = tree
        findings = Array(repeating: .absent, count: tree.count)
    }

    /// Forgets the document, to begin the next one.
    mutating func reset() {
        if hasFindings { for index in findings.indices { findings[index] = .absent } }
        hasFindings = false
        hasBegun = false
        state = .value
        levels.removeAll(keepingCapacity: true)
        node = 0
        isEscaped = false
        escapeDigits = 0
        highSurrogate = 0
    }

    /// Ends the document.
    ///
    /// - Returns: whether it is whole.
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
            case .offPath: index = skipOffPath(bytes, from: index)
            case .offPathString: index = skipString(bytes, from: index, then: .offPath)
            case .string: index = skipString(bytes, from: index, then: nil)
            case .inKey: index = readKeyBytes(bytes, from: index)
            case .word: index = readWord(bytes, from: index)
            case .failed: return
            case .value, .key, .colon, .afterValue, .end:
                structure(bytes[index])
                index += 1
            }
        }
    }

    // MARK: Off the path

    private mutating func skipOffPath(_ bytes: UnsafeRawBufferPointer, from start: Int) -> Int {
        var index = start
        var depth = offPathDepth
        while true {
            index = bytes.firstBracketOrQuote(from: index)
            guard index < bytes.count else { break }
            let byte = bytes[index]
            index += 1
            switch byte {
            case UInt8(ascii: "\""):
                offPathDepth = depth
                state = .offPathString
                return index
            // A hostile upstream could nest deeper than any number counts only with more bytes than there are.
            case UInt8(ascii: "{"), UInt8(ascii: "["): depth += 1
            case UInt8(ascii: "}"), UInt8(ascii: "]"):
                depth -= 1
                if depth == 0 {
                    endValue()
                    return index
                }
            default: break
            }
        }
        offPathDepth = depth
        return index
    }

    /// Skips a string's bytes, up to its quote.
    private mutating func skipString(_ bytes: UnsafeRawBufferPointer, from start: Int, then next: State?) -> Int {
        var index = start
        if isEscaped {
            isEscaped = false
            index += 1
        }
        while true {
            index = bytes.firstQuoteOrBackslash(from: index)
            guard index < bytes.count else { break }
            let byte = bytes[index]
            index += 1
            if byte == UInt8(ascii: "\"") {
                if let next { state = next } else { endValue() }
                return index
            }
            if index == bytes.count { isEscaped = true }
            index += 1
        }
        return bytes.count
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
            beginText()
            text.append(byte)
            state = .word
        case (.key, UInt8(ascii: "\"")):
            beginText()
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

    private mutating func beginText() {
        text.removeAll(keepingCapacity: true)
        isTextTooLong = false
    }

    private mutating func open(isObject: Bool) {
        guard let node, !tree.nodes[node].children.isEmpty else {
            found(.unreadable)
            offPathDepth = 1
            return state = .offPath
        }
        found(.unreadable)
        levels.append(Level(isObject: isObject, node: node))
        if isObject {
            state = .key
        } else {
            beginElement()
        }
    }

    /// Finds the node of a list's next element.
    private mutating func beginElement() {
        state = .value
        guard let level = levels.last else { return }
        node = tree.child(of: level.node, Array(String(level.index).utf8))
    }

    private mutating func close() {
        guard levels.popLast() != nil else { return state = .failed }
        endValue()
    }

    private mutating func endValue() {
        node = nil
        state = levels.isEmpty ? .end : .afterValue
    }

    /// Notes the value for the pointers that end here.
    private mutating func found(_ finding: Finding) {
        guard let node else { return }
        for index in tree.nodes[node].pointers {
            findings[index] = findings[index] == .absent ? finding : .unreadable
            hasFindings = true
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
        } else if let node, !tree.nodes[node].pointers.isEmpty, let units = wholeNumber {
            found(.number(units))
        } else if let node, !tree.nodes[node].pointers.isEmpty {
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

    /// The number under way, if it is what most are: a few digits.
    private var wholeNumber: Int64? {
        guard (1...12).contains(text.count), text[0] != UInt8(ascii: "0") || text.count == 1 else { return nil }
        var number: Int64 = 0
        for byte in text {
            guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) else { return nil }
            number = number * 10 + Int64(byte - UInt8(ascii: "0"))
        }
        return number
    }

    // MARK: Keys

    private mutating func readKeyBytes(_ bytes: UnsafeRawBufferPointer, from start: Int) -> Int {
        var index = start
        while index < bytes.count, case .inKey = state {
            readKey(bytes[index])
            index += 1
        }
        return index
    }

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
            readEscape(byte)
            return
        }
        switch byte {
        case UInt8(ascii: "\\"): isEscaped = true
        case UInt8(ascii: "\""): endKey()
        default: append(byte)
        }
    }

    private mutating func readEscape(_ byte: UInt8) {
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
        if text.count < tree.longestKey { text.append(byte) } else { isTextTooLong = true }
    }

    private mutating func endKey() {
        state = .colon
        guard let level = levels.last, !isTextTooLong else { return node = nil }
        node = tree.child(of: level.node, text)
    }
}

extension UnsafeRawBufferPointer {
    /// The place of the first bracket, brace or quote; the end if there is none.
    fileprivate func firstBracketOrQuote(from start: Int) -> Int {
        var index = start
        while index + 8 <= count {
            let word = loadUnaligned(fromByteOffset: index, as: UInt64.self)
            // '[' and '{' differ in one bit, and so do ']' and '}'.
            let folded = word | 0x2020_2020_2020_2020
            if word.hasByte(UInt8(ascii: "\"")) || folded.hasByte(UInt8(ascii: "{"))
                || folded.hasByte(UInt8(ascii: "}"))
            {
                break
            }
            index += 8
        }
        while index < count {
            let byte = self[index]
            let folded = byte | 0x20
            if byte == UInt8(ascii: "\"") || folded == UInt8(ascii: "{") || folded == UInt8(ascii: "}") { break }
            index += 1
        }
        return index
    }

    /// The place of the first quote or backslash; the end if there is none.
    fileprivate func firstQuoteOrBackslash(from start: Int) -> Int {
        var index = start
        while index + 8 <= count {
            let word = loadUnaligned(fromByteOffset: index, as: UInt64.self)
            if word.hasByte(UInt8(ascii: "\"")) || word.hasByte(UInt8(ascii: "\\")) { break }
            index += 8
        }
        while index < count, self[index] != UInt8(ascii: "\""), self[index] != UInt8(ascii: "\\") { index += 1 }
        return index
    }
}

extension UInt64 {
    /// Whether one of the eight bytes is this one (Henry S. Warren, "Hacker's Delight", 6-1).
    @inline(__always)
    fileprivate func hasByte(_ byte: UInt8) -> Bool {
        let difference = self ^ (UInt64(byte) &* 0x0101_0101_0101_0101)
        return (difference &- 0x0101_0101_0101_0101) & ~difference & 0x8080_8080_8080_8080 != 0
    }
}
