import NIOCore

/// A reply of a Redis server, in RESP2, which every version speaks.
enum RESPValue: Hashable, Sendable {
    case string(ByteBuffer)
    case simple(String)
    case error(String)
    case integer(Int64)
    case array([RESPValue])
    case null

    /// The text of either kind of string.
    var text: String? {
        switch self {
        case .string(let buffer): String(buffer: buffer)
        case .simple(let text): text
        default: nil
        }
    }

    var elements: [RESPValue]? {
        if case .array(let elements) = self { elements } else { nil }
    }

    var number: Int64? {
        if case .integer(let number) = self { number } else { nil }
    }
}
