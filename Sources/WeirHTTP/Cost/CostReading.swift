import Weir

/// The cost of a request or response, as read from it.
enum CostReading: Equatable {
    /// The request or response doesn't state a cost.
    case absent
    /// The request or response states a cost that is malformed or ambiguous.
    case unreadable
    case units(Int64)

    /// The largest cost: more than any limit allows, and small enough to be added without overflow.
    static let enormous: Int64 = 1 << 40

    /// Reads a number in JSON's notation. Rounds it up to a whole number, and a negative number up to 0.
    init(number text: some StringProtocol) {
        var mantissa = text.lowercased()[...]
        var exponent = 0
        if let e = mantissa.firstIndex(of: "e") {
            // With an exponent that overflows, the number is practically zero or exceeds every limit.
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
        // The number of digits in front of the decimal point.
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

    /// Reads a whole number in a header or a query.
    init(text: String) {
        let trimmed = text.trimmingSpaces()
        guard !trimmed.isEmpty, trimmed.utf8.allSatisfy({ (48...57).contains($0) }) else {
            self = .unreadable
            return
        }
        self.init(number: trimmed)
    }

    /// Reads a cost from a request's body.
    static func read(_ cost: CostRule.RequestCost.Kind, in body: ReceivedBody) -> CostReading {
        switch cost {
        case .header, .query: return .absent
        case .jsonLength(let pointer):
            return body.reading(pointer) { finding in
                if case .length(let count, _) = finding { .units(count) } else { .unreadable }
            }
        case .jsonItems(let pointer):
            return body.reading(pointer) { finding in
                if case .length(let count, isList: true) = finding { .units(count) } else { .units(1) }
            }
        case .json(let pointers):
            var largest = CostReading.absent
            for pointer in pointers {
                let found = body.reading(pointer) { finding in
                    if case .number(let text) = finding { CostReading(number: text) } else { .unreadable }
                }
                switch (largest, found) {
                // The app may use the one that can't be read.
                case (_, .unreadable): return .unreadable
                case (.units(let before), .units(let units)): largest = .units(max(before, units))
                case (_, .units): largest = found
                case (_, .absent): break
                }
            }
            return largest
        }
    }

    /// Reads a request's cost.
    ///
    /// - Parameters:
    ///   - query: the query without its `?`.
    ///   - body: the request's body, `none` if the cost isn't in the body.
    static func read(
        _ cost: CostRule.RequestCost.Kind, _ request: some LimitableRequest, query: Substring?, body: ReceivedBody
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
        case .json, .jsonLength, .jsonItems: return read(cost, in: body)
        }
    }

    /// Decodes the name of a query parameter as an app does: `%6e` is `n`.
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
