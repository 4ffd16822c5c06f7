import Foundation
import Weir
import WeirHTTP

/// One request of a JSON log.
struct ReplayLine: LimitableRequest {
    /// Why a line can't be decided.
    struct Broken: Error {
        let reason: String
    }

    var time: Timestamp
    var method = "GET"
    var target = "/"
    var headers: [(name: String, value: String)] = []
    var address = IPAddress("127.0.0.1").unsafelyUnwrapped
    var cost: Int64?
    var duration: Timestamp = 0
    var tier: String?

    var host: String? { headers.first { $0.name == "host" }?.value }

    func forEachValue(of name: String, _ body: (String) -> Void) {
        let name = name.lowercased()
        for header in headers where header.name == name { body(header.value) }
    }

    /// The fields that are text; numbers are read as they are written, never as doubles.
    private struct Fields: Decodable {
        var method: String?
        var path: String?
        var headers: [String: Values]?
        var address: String?
        var tier: String?

        /// A header's value, or the values of its lines.
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

    init(_ text: String) throws(Broken) {
        let numbers: JSONNumbers
        do {
            numbers = try JSONNumbers(text, ["time", "cost", "duration"])
        } catch {
            throw Broken(reason: error.reason)
        }
        guard let time = numbers["time"] else { throw Broken(reason: "'time' is missing") }
        self.time = try Self.ticks(time, "time")
        if let duration = numbers["duration"] { self.duration = try Self.ticks(duration, "duration") }
        if let cost = numbers["cost"] {
            guard let value = Self.scaledInteger(cost, places: 0, exactly: true),
                (0...Int128(Rate.largestCount)).contains(value)
            else { throw Broken(reason: "'cost' must be a whole number from 0 to 1000000000") }
            self.cost = Int64(value)
        }
        let fields: Fields
        do {
            fields = try JSONDecoder().decode(Fields.self, from: Data(text.utf8))
        } catch DecodingError.typeMismatch(_, let context), DecodingError.valueNotFound(_, let context) {
            throw Broken(reason: "'\(context.codingPath.first?.stringValue ?? "line")' is not of the right type")
        } catch {
            throw Broken(reason: "the line is not a JSON object")
        }
        method = fields.method ?? method
        target = fields.path ?? target
        tier = fields.tier
        for (name, values) in fields.headers ?? [:] {
            for value in values.all { headers.append((name.lowercased(), value)) }
        }
        if let text = fields.address {
            guard let address = IPAddress(text) else { throw Broken(reason: "'address' is not an IP address") }
            self.address = address
        }
    }

    /// Seconds as written, in microseconds; further digits are cut off.
    private static func ticks(_ text: String, _ name: String) throws(Broken) -> Timestamp {
        guard let value = scaledInteger(text, places: 6, exactly: false), (0...Int128(Timestamp.latest)).contains(value)
        else {
            throw Broken(reason: "'\(name)' must be seconds from 0 to \(Timestamp.latest / 1_000_000)")
        }
        return Timestamp(value)
    }

    /// A JSON number times 10^places, without its fraction; nil when it is far out of range or, with `exactly`, has one.
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
