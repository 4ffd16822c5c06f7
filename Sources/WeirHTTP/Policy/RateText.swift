package import Weir

/// Reads rates and durations: `20/minute burst 64; 2000 per 2 hours`, `90s`, `5 minutes`.
package enum RateText {
    /// The units and their lengths in microseconds.
    static let units: KeyValuePairs<String, Timestamp> = [
        "second": 1_000_000, "minute": 60_000_000, "hour": 3_600_000_000, "day": 86_400_000_000,
        "week": 7 * 86_400_000_000, "month": 30 * 86_400_000_000, "year": 365 * 86_400_000_000,
    ]
    private static let shortForms: [String: String] = [
        "s": "second", "sec": "second", "secs": "second", "m": "minute", "min": "minute", "mins": "minute",
        "h": "hour", "hr": "hour", "hrs": "hour", "d": "day", "w": "week", "wk": "week", "mo": "month", "mon": "month",
        "y": "year", "yr": "year",
    ]

    /// Returns a unit's length in microseconds.
    ///
    /// - Throws: ``ValueError`` if there is no such unit.
    static func unit(_ text: some StringProtocol) throws(ValueError) -> Timestamp {
        let lower = text.lowercased()
        let singular = lower.count > 2 && lower.hasSuffix("s") ? String(lower.dropLast()) : lower
        let name = shortForms[lower] ?? shortForms[singular] ?? singular
        if let unit = units.first(where: { $0.key == name }) { return unit.value }
        let names = units.map(\.key)
        throw ValueError(
            "unknown unit '\(text)'; the units are \(names.joined(separator: ", "))\(Suggestion.text(for: lower, among: names))"
        )
    }

    /// Reads a decimal number, in millionths. Nil unless it has at most six decimals and seven digits before them.
    static func millionths(_ text: String) -> Int64? {
        let isNegative = text.hasPrefix("-")
        let parts = (isNegative ? text.dropFirst() : text[...]).split(
            separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
        guard let whole = parts.first, (1...7).contains(whole.utf8.count),
            parts.count == 1 || (1...6).contains(parts[1].utf8.count),
            parts.allSatisfy({ $0.utf8.allSatisfy { (48...57).contains($0) } }), let units = Int64(whole)
        else { return nil }
        let decimals = parts.count > 1 ? String(parts[1]) : ""
        let padded = decimals + String(repeating: "0", count: 6 - decimals.utf8.count)
        let value = units * 1_000_000 + (Int64(padded) ?? 0)
        return isNegative ? -value : value
    }

    /// Reads the windows of a rate, separated by `;`. Returns nil for `unlimited`.
    ///
    /// - Throws: ``ValueError`` if a window is malformed, or if two windows have the same period.
    package static func rates(_ text: String) throws(ValueError) -> [Rate]? {
        if text.trimmingSpaces().lowercased() == "unlimited" { return nil }
        var rates: [Rate] = []
        for part in text.split(separator: ";", omittingEmptySubsequences: false) {
            let rate: Rate
            do {
                rate = try self.rate(String(part))
            } catch {
                guard let suggestion = RateSuggestion.rate(for: text) else { throw error }
                throw ValueError("'\(text.trimmingSpaces())' is not a rate; write '\(suggestion)'")
            }
            guard !rates.contains(where: { $0.period == rate.period }) else {
                throw ValueError("two windows of one limit can't have the same period")
            }
            rates.append(rate)
        }
        return rates
    }

    /// Reads one window: `N/unit` or `N per [M] unit`, with an optional `burst B`.
    ///
    /// - Throws: ``ValueError`` unless counts are 1 to 10^9 and the period at most 366 days.
    static func rate(_ text: String) throws(ValueError) -> Rate {
        var words = text.split(whereSeparator: \.isWhitespace).map(String.init)
        let example = "write a rate as '20/minute', '20 per 5 minutes' or '20/minute burst 64'"
        guard !words.isEmpty else { throw ValueError("the rate is empty; \(example)") }
        var burst: Int64?
        if words.count >= 2, words[words.count - 2].lowercased() == "burst" {
            burst = try count(words[words.count - 1], "a burst")
            words.removeLast(2)
        }
        let joined = words.joined(separator: " ")
        let sides: [Substring]
        if let slash = joined.firstIndex(of: "/") {
            sides = [joined[..<slash], joined[joined.index(after: slash)...]]
        } else if let per = joined.lowercased().firstRange(of: " per ") {
            let offset = joined.lowercased().distance(from: joined.lowercased().startIndex, to: per.lowerBound)
            let start = joined.index(joined.startIndex, offsetBy: offset)
            sides = [joined[..<start], joined[joined.index(start, offsetBy: 5)...]]
        } else {
            throw ValueError("'\(text.trimmingSpaces())' is not a rate; \(example)")
        }
        let number = try count(sides[0].trimmingSpaces(), "a rate's count")
        let period = sides[1].split(whereSeparator: \.isWhitespace)
        guard period.count == 1 || period.count == 2 else {
            throw ValueError("'\(text.trimmingSpaces())' is not a rate; \(example)")
        }
        let multiple = period.count == 2 ? try count(String(period[0]), "a period") : 1
        let length = try unit(period[period.count - 1]).multipliedReportingOverflow(by: multiple)
        guard !length.overflow, length.partialValue <= Rate.maximumPeriodTicks else {
            throw ValueError("a period can be at most 366 days")
        }
        do {
            return try Rate(number, perTicks: length.partialValue, burst: burst)
        } catch {
            throw ValueError(error.description)
        }
    }

    private static func count(_ text: String, _ what: String) throws(ValueError) -> Int64 {
        let digits = text.filter { $0 != "_" }
        guard let value = Int64(digits), digits.allSatisfy({ $0.isASCII && $0.isNumber }) else {
            throw ValueError("\(what) must be a whole number, not '\(text)'")
        }
        guard (1...Rate.maximumCount).contains(value) else {
            throw ValueError("\(what) must be 1 to 1000000000, not \(text)")
        }
        return value
    }

    /// Reads a size such as `1048576`, `512kB` or `10MB`. Returns it in bytes: a kB is 1,000 of them, a KiB 1,024.
    ///
    /// - Throws: ``ValueError`` if the text isn't a size, or isn't in the range.
    static func size(_ text: String, in range: ClosedRange<Int64>) throws(ValueError) -> Int64 {
        let trimmed = text.trimmingSpaces()
        let digits = trimmed.prefix { $0.isASCII && $0.isNumber || $0 == "_" }
        let unit = trimmed.dropFirst(digits.count).drop(while: \.isWhitespace).lowercased()
        let sizes: [String: Int64] = [
            "": 1, "b": 1, "kb": 1000, "k": 1000, "mb": 1_000_000, "m": 1_000_000, "gb": 1_000_000_000,
            "g": 1_000_000_000, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30,
        ]
        guard let number = Int64(digits.filter { $0 != "_" }), let size = sizes[unit] else {
            throw ValueError("'\(text)' is not a size; write bytes, or a number and a unit, such as '512kB' or '10MB'")
        }
        let value = number.multipliedReportingOverflow(by: size)
        guard !value.overflow, range.contains(value.partialValue) else {
            throw ValueError("'\(text)' must be from \(range.lowerBound) to \(range.upperBound) bytes")
        }
        return value.partialValue
    }

    /// Reads a duration such as `500ms`, `30s`, `5m` or `2 hours`. Returns it in microseconds.
    ///
    /// - Parameter range: the durations that are allowed, in microseconds.
    /// - Throws: ``ValueError`` if the text isn't a duration, or isn't in the range.
    package static func duration(_ text: String, in range: ClosedRange<Timestamp>) throws(ValueError) -> Timestamp {
        let trimmed = text.trimmingSpaces()
        let digits = trimmed.prefix { $0.isASCII && $0.isNumber }
        let word = trimmed.dropFirst(digits.count).drop(while: \.isWhitespace)
        guard let number = Int64(digits), !word.isEmpty else {
            throw ValueError("'\(text)' is not a duration; write a number and a unit, such as '500ms', '30s' or '5m'")
        }
        let unit = word == "ms" ? 1000 : try unit(word)
        let value = number.multipliedReportingOverflow(by: unit)
        guard !value.overflow, range.contains(value.partialValue) else {
            throw ValueError("'\(text)' must be from \(describe(range.lowerBound)) to \(describe(range.upperBound))")
        }
        return value.partialValue
    }

    /// Reads a decimal above 0 and at most 1, such as `0.2`. Returns a fraction, because a `Double` would round it.
    static func fraction(_ text: String) throws(ValueError) -> (numerator: Int64, denominator: Int64) {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard (1...2).contains(parts.count), let whole = Int64(parts[0]), (0...1).contains(whole),
            parts.count == 1 || (1...9).contains(parts[1].count) && parts[1].allSatisfy({ $0.isASCII && $0.isNumber })
        else { throw ValueError("'\(text)' must be a decimal above 0 and at most 1, such as 0.2") }
        let digits = parts.count == 2 ? parts[1] : "0"
        var denominator: Int64 = 1
        for _ in digits { denominator *= 10 }
        let numerator = whole * denominator + (Int64(digits) ?? 0)
        guard numerator > 0, numerator <= denominator else {
            throw ValueError("'\(text)' must be a decimal above 0 and at most 1, such as 0.2")
        }
        return (numerator, denominator)
    }

    /// Writes a duration in microseconds in the largest unit that divides it, such as `5 minutes`.
    static func describe(_ ticks: Timestamp) -> String {
        if ticks % 1_000_000 != 0 { return "\(ticks / 1000)ms" }
        return units.reversed().first { ticks >= $0.value && ticks % $0.value == 0 }
            .map { "\(ticks / $0.value) \($0.key)\(ticks == $0.value ? "" : "s")" } ?? "\(ticks / 1_000_000)s"
    }
}

extension StringProtocol {
    /// Returns the text without white space at its beginning and end.
    func trimmingSpaces() -> String {
        var rest = self[...]
        while rest.first?.isWhitespace == true { rest = rest.dropFirst() }
        while rest.last?.isWhitespace == true { rest = rest.dropLast() }
        return String(rest)
    }
}
