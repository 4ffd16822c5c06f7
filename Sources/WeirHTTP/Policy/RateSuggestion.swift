/// What the writer of a rate in another notation probably meant, in Weir's.
enum RateSuggestion {
    /// Returns a rate that can be read, or nil if nothing similar can.
    static func rate(for text: String) -> String? {
        let parts = separated(text.lowercased())
        let rates = parts.compactMap { rewritten($0) }
        guard rates.count == parts.count, !rates.isEmpty else { return nil }
        let suggestion = rates.joined(separator: "; ")
        return suggestion != text && (try? RateText.rates(suggestion)) != nil ? suggestion : nil
    }

    /// Splits `60/minute and 1000/hour, burst 20` into windows; a burst belongs to the window before it.
    private static func separated(_ text: String) -> [String] {
        var parts: [String] = []
        let text = text.replacing(" nodelay", with: "").replacing("pt1m", with: "minute")
        for word in text.replacing(" and ", with: ",").split(whereSeparator: { ",;&+".contains($0) }) {
            let part = String(word).trimmingSpaces()
            if part.hasPrefix("burst"), let last = parts.indices.last {
                parts[last] += " " + part
            } else {
                parts.append(part)
            }
        }
        return parts
    }

    private static func rewritten(_ part: String) -> String? {
        var words = part.replacing("burst=", with: "burst ").replacing("burst:", with: "burst ")
            .split(whereSeparator: \.isWhitespace).map(String.init)
        var burst = ""
        if let place = words.firstIndex(of: "burst") {
            guard words.count == place + 2 else { return nil }
            burst = " burst " + words[place + 1]
            words.removeLast(2)
        }
        // Without blanks: `10r/s`, `10/5s`, `100/hour/user`, `10rps`.
        let rate = words.joined().replacing("per", with: "/")
        let number = rate.prefix { $0.isNumber || $0 == "." || $0 == "_" }
        var rest = rate.dropFirst(number.count)
        var thousands = 0
        if let letter = rest.first, letter == "k" || letter == "m", rest.dropFirst().first == "/" {
            thousands = letter == "k" ? 1 : 2
            rest = rest.dropFirst()
        }
        for word in ["requests", "request", "reqs", "req", "calls", "r"] where rest.hasPrefix(word + "/") {
            rest = rest.dropFirst(word.count)
            break
        }
        for (word, unit) in [("rps", "second"), ("rpm", "minute"), ("rph", "hour"), ("qps", "second")]
        where rest == word {
            rest = "/" + unit
        }
        guard rest.first == "/", let period = rest.split(separator: "/").first else { return nil }
        let multiple = period.prefix(while: \.isNumber)
        guard let unit = try? RateText.unit(period.dropFirst(multiple.count)),
            let name = RateText.units.first(where: { $0.value == unit })?.key,
            let millionths = RateText.millionths(number.filter { $0 != "_" })
        else { return nil }
        let scale: Int64 = thousands == 0 ? 1 : thousands == 1 ? 1000 : 1_000_000
        guard !millionths.multipliedReportingOverflow(by: scale).overflow else { return nil }
        return window(of: millionths * scale, multiple: multiple, name: name, unit: unit).map { $0 + burst }
    }

    /// A whole number in the smallest period that has one: 1.5 a second are 90 a minute.
    private static func window(
        of millionths: Int64, multiple: Substring, name: String, unit: Int64
    ) -> String? {
        if millionths.isMultiple(of: 1_000_000) {
            let count = millionths / 1_000_000
            return multiple.isEmpty || multiple == "1" ? "\(count)/\(name)" : "\(count) per \(multiple) \(name)s"
        }
        for longer in RateText.units where multiple.isEmpty && longer.value > unit {
            let product = millionths.multipliedReportingOverflow(by: longer.value / unit)
            if !product.overflow, product.partialValue.isMultiple(of: 1_000_000) {
                return "\(product.partialValue / 1_000_000)/\(longer.key)"
            }
        }
        return nil
    }
}
