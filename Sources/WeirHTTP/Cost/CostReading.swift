import Weir

/// What a request or response was found to cost.
enum CostReading: Equatable {
    /// Nothing says it.
    case absent
    /// Something says it, but not so that it could be relied on.
    case unreadable
    case units(Int64)

    /// More than any limit holds, but few enough to add up.
    static let enormous: Int64 = 1 << 40

    /// The cost of a number as written in JSON or a header: rounded up, at least 0.
    init(number text: some StringProtocol) {
        var mantissa = text.lowercased()[...]
        var exponent = 0
        if let e = mantissa.firstIndex(of: "e") {
            // An exponent that doesn't fit makes the number nothing or enormous either way.
            let digits = mantissa[mantissa.index(after: e)...]
            exponent = Int(digits) ?? (digits.hasPrefix("-") ? -1000 : 1000)
            mantissa = mantissa[..<e]
        }
        let isNegative = mantissa.hasPrefix("-")
        if isNegative { mantissa = mantissa.dropFirst() }
        let parts = mantissa.split(separator: ".", omittingEmptySubsequences: false)
        guard (1...2).contains(parts.count),
            parts.allSatisfy({ !$0.isEmpty && $0.utf8.allSatisfy { (48...57).contains($0) } })
        else {
            self = .unreadable
            return
        }
        let digits = parts.joined().utf8.map { Int64($0) - 48 }
        // Where the decimal point stands among the digits.
        let point = parts[0].utf8.count + max(-10_000, min(10_000, exponent))
        var value: Int64 = 0
        for position in 0..<max(point, 0) {
            value = value * 10 + (position < digits.count ? digits[position] : 0)
            if value > Self.enormous {
                value = Self.enormous
                break
            }
        }
        let hasFraction = digits.enumerated().contains { $0.offset >= point && $0.element > 0 }
        self = .units(isNegative ? 0 : min(Self.enormous, value + (hasFraction ? 1 : 0)))
    }

    /// The cost of a whole number in a header or a query.
    init(text: String) {
        let trimmed = text.trimmingSpaces()
        guard !trimmed.isEmpty, trimmed.utf8.allSatisfy({ (48...57).contains($0) }) else {
            self = .unreadable
            return
        }
        self.init(number: trimmed)
    }

    /// The value of a JSON document at a pointer.
    init(json pointer: JSONPointer, in bytes: UnsafeRawBufferPointer, asLength: Bool) {
        guard let finding = try? JSONProbe.find(pointer, in: bytes) else {
            self = .unreadable
            return
        }
        switch finding {
        case .absent, .null: self = .absent
        case .number(let text): self = asLength ? .unreadable : CostReading(number: text)
        case .length(let count): self = asLength ? .units(count) : .unreadable
        case .boolean: self = .unreadable
        }
    }

    /// Reads a request's cost.
    ///
    /// - Parameter body: the whole body; nil when there is none or it was not asked for.
    static func read(
        _ cost: CostRule.RequestCost, _ request: some LimitableRequest, query: Substring?, body: RequestBody
    ) -> CostReading {
        switch cost {
        case .header(let name):
            var values: [String] = []
            request.forEachValue(of: name) { values.append($0) }
            if values.isEmpty { return .absent }
            return values.count == 1 ? CostReading(text: values[0]) : .unreadable
        case .query(let name):
            let values = (query ?? "").split(separator: "&").compactMap { pair -> String? in
                let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
                guard decoded(parts[0]).elementsEqual(name.utf8) else { return nil }
                return parts.count == 2 ? String(parts[1]) : ""
            }
            if values.isEmpty { return .absent }
            return values.count == 1 ? CostReading(text: values[0]) : .unreadable
        case .json(let pointer): return body.reading(pointer, asLength: false)
        case .jsonLength(let pointer): return body.reading(pointer, asLength: true)
        }
    }

    /// A query parameter's name as the app reads it: `%6e` is `n`.
    private static func decoded(_ name: Substring) -> [UInt8] {
        var result: [UInt8] = []
        var bytes = name.utf8[...]
        while let byte = bytes.popFirst() {
            if byte == UInt8(ascii: "%"), let text = String(bytes.prefix(2)), text.utf8.count == 2,
                let value = UInt8(text, radix: 16)
            {
                result.append(value)
                bytes = bytes.dropFirst(2)
            } else {
                result.append(byte == UInt8(ascii: "+") ? 0x20 : byte)
            }
        }
        return result
    }
}
