/// A request's path in the one spelling that is matched, and the target that is forwarded: they are the same path,
/// so that no other spelling of it gets past a rule.
public struct RequestPath: Sendable, Hashable {
    /// Decoded once, without dot segments and doubled slashes.
    public var path: String
    /// What to forward: the path, encoded again, and the query as it was sent.
    public var target: String
    /// The authority of a target that was a whole URL.
    public var authority: String?

    public var query: Substring? {
        guard let mark = target.firstIndex(of: "?") else { return nil }
        return target[target.index(after: mark)...]
    }

    /// Why a target is refused with 400. Fit to be shown to the client.
    public struct Refusal: Error, Sendable, Hashable {
        public let reason: String
    }

    /// - Parameters:
    ///   - target: as sent (RFC 9112, 3.2): `/path?query`, `http://host/path`, or `*`.
    ///   - lenient: whether encoded slashes, backslashes, NULs and double encodings are kept as they are sent.
    public init(_ target: String, lenient: Bool = false) throws(Refusal) {
        if target == "*" {
            path = "*"
            self.target = "*"
            return
        }
        var origin = target[...]
        if !target.utf8.starts(with: "/".utf8) {
            guard let scheme = target.firstRange(of: "://"),
                ["http", "https"].contains(target[..<scheme.lowerBound].lowercased())
            else { throw Refusal(reason: "the request target must be a path or an http URL") }
            let rest = target[scheme.upperBound...]
            let end = rest.firstIndex { $0 == "/" || $0 == "?" } ?? rest.endIndex
            guard end > rest.startIndex, !rest[..<end].contains("@") else {
                throw Refusal(reason: "the request target has no host, or a user in it")
            }
            authority = String(rest[..<end])
            origin = rest[end...]
            if !origin.hasPrefix("/") { origin = "/" + origin }
        }
        var text = String(origin)
        let plain = text.withUTF8 { Self.plainLength($0) }
        if let plain {
            self.target = text
            path = plain == text.utf8.count ? text : String(text.utf8.prefix(plain)) ?? text
            return
        }
        let mark = text.utf8.firstIndex(of: UInt8(ascii: "?")) ?? text.endIndex
        let segments = try Self.segments(Array(text.utf8[..<mark]), lenient: lenient)
        var decoded: [UInt8] = []
        var encoded = ""
        for segment in segments {
            decoded.append(UInt8(ascii: "/"))
            decoded += segment
            encoded += "/" + Self.encode(segment, lenient: lenient)
        }
        path = String(decoding: decoded, as: UTF8.self)
        let query = text[mark...]
        guard !query.utf8.contains(where: { $0 <= 0x20 || $0 == 0x7F || $0 == UInt8(ascii: "#") }) else {
            throw Refusal(reason: "the query holds a character that must be encoded")
        }
        self.target = encoded + query
    }

    /// How many bytes the path of a target has that needs no change; nil when it needs one.
    private static func plainLength(_ bytes: UnsafeBufferPointer<UInt8>) -> Int? {
        var previous: UInt8 = 0
        for (index, byte) in bytes.enumerated() {
            switch byte {
            case UInt8(ascii: "?"):
                for byte in bytes[index...] where byte <= 0x20 || byte >= 0x7F || byte == UInt8(ascii: "#") {
                    return nil
                }
                return index
            case UInt8(ascii: "%"), UInt8(ascii: "\\"), UInt8(ascii: "#"), 0...0x20, 0x7F...0xFF: return nil
            case UInt8(ascii: "/"), UInt8(ascii: "."):
                if previous == UInt8(ascii: "/") { return nil }
            default: break
            }
            previous = byte
        }
        return bytes.count
    }

    /// The decoded segments of a path, with dot segments and empty ones resolved. A slash at the end stays, as an
    /// empty last segment.
    private static func segments(_ path: [UInt8], lenient: Bool) throws(Refusal) -> [[UInt8]] {
        var segments: [[UInt8]] = []
        let raw = path.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
        var endsWithSlash = false
        for (index, part) in raw.enumerated() where index > 0 {
            let segment = try decode(part, lenient: lenient)
            endsWithSlash = false
            if segment.isEmpty || segment == [UInt8(ascii: ".")] {
                endsWithSlash = true
            } else if segment == Array("..".utf8) {
                // Above the root there is only the root (RFC 3986, 5.2.4).
                if !segments.isEmpty { segments.removeLast() }
                endsWithSlash = true
            } else {
                segments.append(segment)
            }
        }
        return endsWithSlash || segments.isEmpty ? segments + [[]] : segments
    }

    private static func decode(_ part: ArraySlice<UInt8>, lenient: Bool) throws(Refusal) -> [UInt8] {
        var result: [UInt8] = []
        var index = part.startIndex
        while index < part.endIndex {
            let byte = part[index]
            guard byte == UInt8(ascii: "%") else {
                if byte == UInt8(ascii: "\\"), !lenient { throw Refusal(reason: "a backslash in the path") }
                if byte <= 0x20 || byte == 0x7F || byte == UInt8(ascii: "#") {
                    throw Refusal(reason: "a character in the path that must be encoded")
                }
                result.append(byte)
                index += 1
                continue
            }
            guard index + 2 < part.endIndex, let high = hex(part[index + 1]), let low = hex(part[index + 2]) else {
                throw Refusal(reason: "'%' in the path without two hexadecimal digits")
            }
            let decoded = high << 4 | low
            let isDouble =
                decoded == UInt8(ascii: "%") && index + 4 < part.endIndex && hex(part[index + 3]) != nil
                && hex(part[index + 4]) != nil
            if decoded == UInt8(ascii: "/") || decoded == UInt8(ascii: "\\") || decoded == 0 || isDouble {
                guard lenient else {
                    throw Refusal(reason: "an encoded slash, backslash, NUL or percent sign in the path")
                }
                // Kept as it was sent, in one spelling: `%2F` is then no separator, neither here nor upstream.
                result += [byte, digits[Int(high)], digits[Int(low)]]
            } else {
                result.append(decoded)
            }
            index += 3
        }
        return result
    }

    private static let digits = Array("0123456789ABCDEF".utf8)

    private static func hex(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
        default: nil
        }
    }

    /// Encodes what may not stand in a path (RFC 3986, 3.3: `pchar`).
    private static func encode(_ segment: [UInt8], lenient: Bool) -> String {
        var result: [UInt8] = []
        for (index, byte) in segment.enumerated() {
            let isKept =
                lenient && byte == UInt8(ascii: "%") && index + 2 < segment.count && hex(segment[index + 1]) != nil
                && hex(segment[index + 2]) != nil
            if isKept || pathBytes.contains(byte) {
                result.append(byte)
            } else {
                result += [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
            }
        }
        return String(decoding: result, as: UTF8.self)
    }

    private static let pathBytes = Set(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~!$&'()*+,;=:@".utf8)
}
