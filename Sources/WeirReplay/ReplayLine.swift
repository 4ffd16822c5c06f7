import Foundation
import Weir
import WeirHTTP

/// A request in a JSON log.
struct ReplayLine: LimitableRequest {
    /// The time of the request, in microseconds.
    var time: Timestamp
    var method = "GET"
    var target = "/"
    var headers: [(name: String, value: String)] = []
    var address = IPAddress("127.0.0.1").unsafelyUnwrapped
    /// The cost, in place of the policy's; nil for the policy's.
    var cost: Int64?
    /// How long the request is in flight, in microseconds.
    var duration: Timestamp = 0
    /// The client's tier, in place of the policy's; nil for the policy's.
    var tier: String?
    /// The request's body; nil if the log has none.
    var body: [UInt8]?
    /// The response's status; nil if the log has none.
    var status: Int?
    /// The response's body, as far as a cost is in it; nil if the log has none.
    var usage: [UInt8]?
    /// The fields that nobody reads.
    private(set) var unknownFields: [String] = []

    private static let fields: Set<String> = [
        "time", "method", "path", "headers", "address", "cost", "duration", "tier", "body", "status", "usage",
    ]

    /// What other logs call the fields.
    static let otherNames = [
        "remote_addr": "address", "remote_address": "address", "ip": "address", "client_ip": "address",
        "client": "address", "timestamp": "time", "ts": "time", "@timestamp": "time", "time_local": "time",
        "uri": "path", "url": "path", "request_uri": "path", "request_method": "method", "status_code": "status",
        "request_time": "duration", "latency": "duration", "header": "headers",
    ]

    var host: String? { headers.first { $0.name == "host" }?.value }

    func forEachValue(of name: String, _ body: (String) -> Void) {
        let name = name.lowercased()
        for header in headers where header.name == name { body(header.value) }
    }

    /// The text fields. Numbers are read separately, since a decoder would read them as doubles.
    private struct Fields: Decodable {
        var method: String?
        var path: String?
        var headers: [String: Values]?
        var address: String?
        var tier: String?

        /// A header with one value, or with several in the order of its lines.
        enum Values: Decodable {
            case one(String)
            case several([String])

            init(from decoder: any Decoder) throws {
                let container = try decoder.singleValueContainer()
                if let value = try? container.decode(String.self) {
                    self = .one(value)
                } else {
                    self = .several(try container.decode([String].self))
                }
            }

            var all: [String] {
                switch self {
                case .one(let value): [value]
                case .several(let values): values
                }
            }
        }
    }

    /// Reads a line of the log.
    ///
    /// - Throws: ``ReplayLineError`` if the line isn't a JSON object, has no `time`, or has an invalid field.
    init(_ text: String) throws(ReplayLineError) {
        let numbers: JSONNumbers
        do {
            numbers = try JSONNumbers(text, ["time", "cost", "duration", "status"], texts: ["time"])
        } catch {
            throw ReplayLineError(error.message)
        }
        let object = (try? JSONSerialization.jsonObject(with: Data(text.utf8))) as? [String: Any] ?? [:]
        unknownFields = object.keys.filter { !Self.fields.contains($0) }.sorted()
        if let time = numbers["time"] {
            self.time = try Self.ticks(time, "time")
        } else if let text = object["time"] as? String {
            self.time = try Self.instant(text)
        } else {
            throw ReplayLineError("'time' is missing")
        }
        if let status = numbers["status"] {
            guard let code = Int(status), (100...599).contains(code) else {
                throw ReplayLineError("'status' must be a status from 100 to 599")
            }
            self.status = code
        }
        body = Self.json(object["body"])
        if let number = object["usage"] as? NSNumber {
            usage = Array("{\"usage\":{\"total_tokens\":\(number)}}".utf8)
        } else {
            usage = object["usage"].flatMap { Self.json(["usage": $0]) }
        }
        if let duration = numbers["duration"] { self.duration = try Self.ticks(duration, "duration") }
        if let cost = numbers["cost"] {
            guard let value = Self.scaledInteger(cost, places: 0, exactly: true),
                (0...Int128(Rate.maximumCount)).contains(value)
            else { throw ReplayLineError("'cost' must be a whole number from 0 to 1000000000") }
            self.cost = Int64(value)
        }
        let fields: Fields
        do {
            fields = try JSONDecoder().decode(Fields.self, from: Data(text.utf8))
        } catch DecodingError.typeMismatch(_, let context), DecodingError.valueNotFound(_, let context) {
            throw ReplayLineError("'\(context.codingPath.first?.stringValue ?? "line")' has the wrong type")
        } catch {
            throw ReplayLineError("the line is not a JSON object")
        }
        method = fields.method ?? method
        target = fields.path ?? target
        tier = fields.tier
        for (name, values) in fields.headers ?? [:] {
            for value in values.all { headers.append((name.lowercased(), value)) }
        }
        if let text = fields.address {
            guard let address = IPAddress(text) else { throw ReplayLineError("'address' is not an IP address") }
            self.address = address
        }
    }

    /// A value as JSON. A text is taken as it is, because it may be JSON already.
    private static func json(_ value: Any?) -> [UInt8]? {
        switch value {
        case nil, is NSNull: nil
        case let text as String: Array(text.utf8)
        case let value?:
            (try? JSONSerialization.data(withJSONObject: value, options: [.fragmentsAllowed, .sortedKeys]))
                .map { Array($0) }
        }
    }

    /// What the log would have to say for the cost, the key or the match of a limit; nil if it says all.
    func missing(for rule: LimitRule) -> String? {
        switch rule.cost.kind {
        case .request(let cost, _, _) where cost.isInBody && body == nil && self.cost == nil:
            return "its cost is in the body, and there is no 'body'"
        case .response(let source, let reserve, _, _, _) where self.cost == nil:
            if case .request(let cost, _) = reserve, cost.isInBody, body == nil {
                return "its reserve is in the body, and there is no 'body'"
            }
            switch source {
            case .status: if status == nil { return "its cost is by status, and there is no 'status'" }
            case .body: if usage == nil { return "its cost is in the response, and there is no 'usage'" }
            case .header: return "its cost is in a header of the response, which a log can't say"
            }
        case .fixed, .request, .response: break
        }
        let isInBody = rule.key.contains(where: \.isInBody) || !rule.match.json.isEmpty
        return isInBody && body == nil ? "its key or match is in the body, and there is no 'body'" : nil
    }

    /// Reads a time as of RFC 3339, with a zone, such as `2026-11-27T10:00:00.25Z`.
    private static func instant(_ text: String) throws(ReplayLineError) -> Timestamp {
        // The parser reads no fractions finer than it keeps, so they are read apart.
        var text = text
        var fraction: Timestamp = 0
        if let point = text.firstIndex(of: ".") {
            let digits = text[text.index(after: point)...].prefix { $0.isASCII && $0.isNumber }
            fraction = Timestamp(digits.prefix(6).padding(toLength: 6, withPad: "0", startingAt: 0)) ?? 0
            text.removeSubrange(point..<digits.endIndex)
        }
        guard let date = try? Date(text, strategy: .iso8601), (0..<1e10).contains(date.timeIntervalSince1970) else {
            throw ReplayLineError("'time' must be seconds since 1970, or a time such as 2026-11-27T10:00:00Z")
        }
        return Timestamp(date.timeIntervalSince1970) * 1_000_000 + fraction
    }

    /// Converts decimal seconds to microseconds. Cuts off further digits.
    private static func ticks(_ text: String, _ name: String) throws(ReplayLineError) -> Timestamp {
        guard let value = scaledInteger(text, places: 6, exactly: false),
            (0...Int128(Instant.max.microseconds)).contains(value)
        else {
            throw ReplayLineError("'\(name)' must be seconds from 0 to \(Instant.max.microseconds / 1_000_000)")
        }
        return Timestamp(value)
    }

    /// Multiplies a JSON number by 10^places and cuts off its fraction.
    ///
    /// - Parameter exactly: whether to return nil for a number with a fraction.
    /// - Returns: nil also for a number far out of range.
    static func scaledInteger(_ text: String, places: Int, exactly: Bool) -> Int128? {
        var mantissa = text.lowercased()[...]
        var exponent = places
        if let e = mantissa.firstIndex(of: "e") {
            guard let power = Int(mantissa[mantissa.index(after: e)...]), (-9999...9999).contains(power) else {
                return nil
            }
            exponent += power
            mantissa = mantissa[..<e]
        }
        let isNegative = mantissa.hasPrefix("-")
        if isNegative { mantissa = mantissa.dropFirst() }
        var digits: [UInt8] = []
        var point: Int?
        for byte in mantissa.utf8 {
            if byte == UInt8(ascii: ".") { point = digits.count } else { digits.append(byte &- 48) }
        }
        let end = (point ?? digits.count) + exponent
        var value: Int128 = 0
        for place in 0..<max(0, end) {
            value = value * 10 + (place < digits.count ? Int128(digits[place]) : 0)
            if value > 1 << 100 { return nil }
        }
        if exactly, digits.enumerated().contains(where: { $0.offset >= end && $0.element != 0 }) { return nil }
        return isNegative ? -value : value
    }
}
