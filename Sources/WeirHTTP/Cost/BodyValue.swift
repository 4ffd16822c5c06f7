/// A value in a request's JSON body, as keys and matches compare it.
enum BodyValue: Equatable {
    /// There is no such value, or it is null.
    case absent
    /// The value can't be relied on: the body is malformed, compressed or too long, the value is there twice, is an
    /// object or a list, or has more than 256 bytes. The app may read it otherwise than Weir.
    case unreliable
    /// A text, a number, `true` or `false`: as it is compared (a number in its shortest form), and as it is written.
    case text(String, written: String)

    static let longest = 256

    init(_ pointer: JSONPointer, in body: ReceivedBody) {
        switch body.kind {
        case .none: self = .absent
        case .unreadable: self = .unreliable
        case .bytes(let bytes):
            if bytes.isEmpty {
                self = .absent
                return
            }
            guard let value = try? bytes.withUnsafeBytes({ try JSONProbe.value(at: pointer, in: $0) }) else {
                self = .unreliable
                return
            }
            self = value
        }
    }

    /// A text that is a number is that number: `1`, `1.0`, `1e0` and `"1"` are one value.
    init(text: String) {
        guard text.utf8.count <= Self.longest else {
            self = .unreliable
            return
        }
        self = .text(Self.shortest(text) ?? text, written: text)
    }

    /// Whether the value fits one of some patterns: a text, or the start of one with `*` at the end. What can't be
    /// relied on fits all, so that nobody escapes a limit by garbling a body.
    func fits(_ patterns: [String]) -> Bool {
        switch self {
        case .absent: false
        case .unreliable: true
        case .text(let value, let written):
            patterns.contains { pattern in
                guard pattern.hasSuffix("*") else {
                    return (Self.shortest(pattern) ?? pattern).utf8.elementsEqual(value.utf8)
                }
                // Of a number with an exponent, nobody knows how the app writes it.
                return written.utf8.starts(with: pattern.utf8.dropLast())
                    || Self.shortest(written) != nil && written.lowercased().contains("e")
            }
        }
    }

    /// The shortest form of a number in JSON's notation; nil if the text is none, or its exponent is out of range.
    private static func shortest(_ text: String) -> String? {
        var digits = text.utf8[...]
        let isNegative = digits.first == UInt8(ascii: "-")
        if isNegative { digits = digits.dropFirst() }
        guard let first = digits.first, (0x30...0x39).contains(first) else { return nil }
        func take(_ from: inout Substring.UTF8View) -> [UInt8] {
            let taken = Array(from.prefix { (0x30...0x39).contains($0) })
            from = from.dropFirst(taken.count)
            return taken
        }
        let whole = take(&digits)
        var fraction: [UInt8] = []
        if digits.first == UInt8(ascii: ".") {
            digits = digits.dropFirst()
            fraction = take(&digits)
            if fraction.isEmpty { return nil }
        }
        var exponent = 0
        if let mark = digits.first, mark | 0x20 == UInt8(ascii: "e") {
            guard let number = Int(Substring(digits.dropFirst())), (-1_000_000...1_000_000).contains(number) else {
                return nil
            }
            exponent = number
            digits = ""[...].utf8
        }
        guard digits.isEmpty, whole.count == 1 || whole.first != 0x30 else { return nil }
        var significant = Array((whole + fraction).drop { $0 == 0x30 })
        exponent -= fraction.count
        while significant.last == 0x30 {
            significant.removeLast()
            exponent += 1
        }
        if significant.isEmpty { return "0" }
        let sign = isNegative ? "-" : ""
        let number = String(decoding: significant, as: UTF8.self)
        return exponent == 0 ? sign + number : "\(sign)\(number)e\(exponent)"
    }
}
