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
            numbers = try JSONNumbers(text, ["time", "cost", "duration"])
        } catch {
            throw ReplayLineError(error.message)
        }
        guard let time = numbers["time"] else { throw ReplayLineError("'time' is missing") }
        self.time = try Self.ticks(time, "time")
        if let duration = numbers["duration"] { self.duration = try Self.ticks(duration, "duration") }
        if let cost = numbers["cost"] {
            guard let value = Self.scaledInteger(cost, places: 0, exactly: true),
                (0...Int128(Rate.largestCount)).contains(value)
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

    /// Converts decimal seconds to microseconds. Cuts off further digits.
    private static func ticks(_ text: String, _ name: String) throws(ReplayLineError) -> Timestamp {
        guard let value = scaledInteger(text, places: 6, exactly: false), (0...Int128(Timestamp.latest)).contains(value)
        else {
            throw ReplayLineError("'\(name)' must be seconds from 0 to \(Timestamp.latest / 1_000_000)")
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
