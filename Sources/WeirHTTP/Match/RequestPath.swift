/// A request's path in one canonical spelling, and the target to forward.
///
/// Rules are matched against ``path`` and the request is forwarded to ``target``. Both are the same path, so that no
/// alternative spelling of a path gets past a rule.
///
/// A lenient path is forwarded as it came. Nobody knows then how the upstream reads it: limits and access rules apply
/// if any of its readings fits, exemptions only if all do.
public struct RequestPath: Sendable, Hashable {
    /// The path to match: decoded once, without dot segments, doubled slashes and `;parameters`. Of a lenient path, the
    /// most reduced reading: decoded as far as it goes, with every encoded separator for one.
    public var path: String
    /// Other readings of a lenient path: as it came; decoded once; and without dot segments and doubled slashes, but
    /// with separators that stay encoded. Never combinations of these, so that no path is expensive.
    public private(set) var otherReadings: [String] = []
    /// The target to forward: the path, encoded again in one spelling, and the query as sent.
    public var target: String
    /// The authority of a target that was a whole URL, such as `api.example:8080`; nil for any other target.
    public var authority: String?

    /// The query without its `?`, as sent; nil if the target has none.
    public var query: Substring? {
        guard let mark = target.firstIndex(of: "?") else { return nil }
        return target[target.index(after: mark)...]
    }

    /// Reads a request target (RFC 9112, 3.2).
    ///
    /// - Parameters:
    ///   - target: the target as sent: `/path?query`, `http://host/path`, or `*`.
    ///   - lenient: whether to forward the path as it came, with doubled slashes, encoded slashes, backslashes, NULs
    ///     and double encodings. By default doubled slashes are resolved and the others are refused.
    /// - Throws: ``RequestPathError`` if the target is malformed, or if two servers could read it differently.
    public init(_ target: String, lenient: Bool = false) throws(RequestPathError) {
        try self.init(target, lenient: lenient, isRouted: false)
    }

    /// - Parameter isRouted: whether an app's own router reads the path, and has accepted it. Then nothing in a path or
    ///   a query is refused, not even what is malformed.
    package init(_ target: String, lenient: Bool, isRouted: Bool) throws(RequestPathError) {
        if target == "*" {
            path = "*"
            self.target = "*"
            return
        }
        var text = target
        if target.utf8.first != UInt8(ascii: "/") {
            guard let scheme = target.firstRange(of: "://"),
                ["http", "https"].contains(target[..<scheme.lowerBound].lowercased())
            else { throw RequestPathError(.target, "a target that is neither a path nor an http URL") }
            let rest = target[scheme.upperBound...]
            let end = rest.firstIndex { $0 == "/" || $0 == "?" } ?? rest.endIndex
            guard Self.isAuthority(String(rest[..<end])) else {
                throw RequestPathError(.target, "a target without a valid host")
            }
            authority = String(rest[..<end])
            text = (rest[end...].hasPrefix("/") ? "" : "/") + rest[end...]
        }
        let plain = text.withUTF8 { Self.plainLength($0) }
        if let plain {
            self.target = text
            path = plain == text.utf8.count ? text : String(text.utf8.prefix(plain)) ?? text
            return
        }
        let mark = text.utf8.firstIndex(of: UInt8(ascii: "?")) ?? text.endIndex
        let sent = String(text[..<mark])
        var matched: [UInt8] = []
        var encoded = ""
        let segments: [Segment]
        do {
            segments = try Self.segments(Array(sent.utf8), lenient: lenient)
        } catch {
            guard isRouted else { throw error }
            path = sent
            self.target = text
            readLeniently(text, sent)
            return
        }
        for segment in segments {
            matched.append(UInt8(ascii: "/"))
            matched += segment.matched
            encoded += "/" + segment.encoded
        }
        path = String(decoding: matched, as: UTF8.self)
        let query = text[mark...]
        guard isRouted || !query.utf8.contains(where: { $0 <= 0x20 || $0 == 0x7F || $0 == UInt8(ascii: "#") }) else {
            throw RequestPathError(.character, "a character in the query that must be encoded")
        }
        self.target = encoded + query
        if lenient { readLeniently(text, sent) }
    }

    /// Keeps the target as it came, and finds the readings of its path.
    private mutating func readLeniently(_ text: String, _ sent: String) {
        target = text
        let separated = path
        let decoded = Self.decoded(Array(sent.utf8))
        var reduced = decoded
        for _ in 0..<Self.mostDecodings where reduced.contains(UInt8(ascii: "%")) { reduced = Self.decoded(reduced) }
        for index in reduced.indices where reduced[index] == UInt8(ascii: "\\") { reduced[index] = UInt8(ascii: "/") }
        path = Self.resolved(reduced)
        for reading in [sent, String(decoding: decoded, as: UTF8.self), separated]
        where reading != path && !otherReadings.contains(reading) {
            otherReadings.append(reading)
        }
    }

    /// The most times that a path is decoded. Nobody decodes more often.
    private static let mostDecodings = 4

    /// Decodes a path once. What isn't an encoding stays.
    private static func decoded(_ path: [UInt8]) -> [UInt8] {
        var decoded: [UInt8] = []
        decoded.reserveCapacity(path.count)
        var index = 0
        while index < path.count {
            if path[index] == UInt8(ascii: "%"), index + 2 < path.count, let high = hex(path[index + 1]),
                let low = hex(path[index + 2])
            {
                decoded.append(high << 4 | low)
                index += 3
            } else {
                decoded.append(path[index])
                index += 1
            }
        }
        return decoded
    }

    /// Resolves dot segments and doubled slashes, and removes `;parameters`.
    private static func resolved(_ path: [UInt8]) -> String {
        var segments: [ArraySlice<UInt8>] = []
        var endsWithSlash = false
        for part in path.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false).dropFirst() {
            let segment = part.prefix { $0 != UInt8(ascii: ";") }
            let isParent = segment.elementsEqual("..".utf8)
            endsWithSlash = segment.isEmpty || isParent || segment.elementsEqual(".".utf8)
            if isParent { _ = segments.popLast() }
            if !endsWithSlash { segments.append(segment) }
        }
        var bytes: [UInt8] = []
        for segment in segments { bytes += [UInt8(ascii: "/")] + segment }
        if endsWithSlash || bytes.isEmpty { bytes.append(UInt8(ascii: "/")) }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// The length of the target's path in bytes, or nil if the target isn't in the canonical spelling already.
    private static func plainLength(_ bytes: UnsafeBufferPointer<UInt8>) -> Int? {
        var previous: UInt8 = 0
        for (index, byte) in bytes.enumerated() {
            switch byte {
            case UInt8(ascii: "?"):
                for byte in bytes[index...] where byte <= 0x20 || byte >= 0x7F || byte == UInt8(ascii: "#") {
                    return nil
                }
                return index
            case UInt8(ascii: "%"), UInt8(ascii: "\\"), UInt8(ascii: "#"), UInt8(ascii: ";"), 0...0x20, 0x7F...0xFF:
                return nil
            case UInt8(ascii: "/"), UInt8(ascii: "."):
                if previous == UInt8(ascii: "/") { return nil }
            default: break
            }
            previous = byte
        }
        return bytes.count
    }

    /// A segment of a path, in the spelling that is matched and in the one that is forwarded.
    private struct Segment {
        /// The segment decoded, without `;parameters`: some servers remove them before they choose a route.
        var matched: [UInt8] = []
        var encoded = ""

        static let empty = Segment()
    }

    /// Splits a path into segments and resolves dot segments and empty ones. A trailing slash is kept as an empty last
    /// segment.
    private static func segments(_ path: [UInt8], lenient: Bool) throws(RequestPathError) -> [Segment] {
        var segments: [Segment] = []
        let raw = path.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
        var endsWithSlash = false
        for part in raw.dropFirst() {
            let segment = try segment(part, lenient: lenient)
            let isDots = segment.matched == Array(".".utf8) || segment.matched == Array("..".utf8)
            if isDots, segment.encoded.contains(";"), !lenient {
                throw RequestPathError(.dotSegment, "a dot segment with parameters in the path")
            }
            endsWithSlash = segment.encoded.isEmpty || isDots
            if segment.matched == Array("..".utf8) {
                // `..` at the root stays at the root (RFC 3986, 5.2.4).
                if !segments.isEmpty { segments.removeLast() }
            } else if !endsWithSlash {
                segments.append(segment)
            }
        }
        return endsWithSlash || segments.isEmpty ? segments + [.empty] : segments
    }

    /// Decodes a segment once, as for matching. Returns it unchanged if it can't be decoded.
    static func decoded(segment text: String) -> String {
        guard text.utf8.contains(UInt8(ascii: "%")), let segment = try? segment(Array(text.utf8)[...], lenient: true)
        else { return text }
        return String(decoding: segment.matched, as: UTF8.self)
    }

    /// Decodes a segment once, and encodes it again in one spelling.
    ///
    /// A character that arrived encoded stays encoded unless it is unreserved: to the upstream it is data, not a
    /// delimiter.
    private static func segment(_ part: ArraySlice<UInt8>, lenient: Bool) throws(RequestPathError) -> Segment {
        var matched: [UInt8] = []
        var encoded: [UInt8] = []
        var parameters: Int?
        var index = part.startIndex
        while index < part.endIndex {
            let byte = part[index]
            guard byte == UInt8(ascii: "%") else {
                if byte == UInt8(ascii: "\\"), !lenient {
                    throw RequestPathError(.separator, "a backslash in the path")
                }
                if byte <= 0x20 || byte == 0x7F || byte == UInt8(ascii: "#") {
                    throw RequestPathError(.character, "a character in the path that must be encoded")
                }
                if byte == UInt8(ascii: ";"), parameters == nil { parameters = matched.count }
                matched.append(byte)
                encoded += pathBytes.contains(byte) ? [byte] : escaped(byte)
                index += 1
                continue
            }
            guard index + 2 < part.endIndex, let high = hex(part[index + 1]), let low = hex(part[index + 2]) else {
                throw RequestPathError(.encoding, "a '%' in the path without two hexadecimal digits")
            }
            let decoded = high << 4 | low
            let isSeparator = decoded == UInt8(ascii: "/") || decoded == UInt8(ascii: "\\") || decoded == 0
            if isSeparator, !lenient {
                throw RequestPathError(.separator, "an encoded slash, backslash or NUL in the path")
            }
            // An encoded slash doesn't separate segments upstream, so it must not separate them here either.
            let staysEncoded = isSeparator || lenient && decoded == UInt8(ascii: "%")
            matched += staysEncoded ? escaped(decoded) : [decoded]
            encoded += unreserved.contains(decoded) ? [decoded] : escaped(decoded)
            index += 3
        }
        // A careless upstream would decode a second time, and see a different path.
        if !lenient, holdsEncoding(matched) { throw RequestPathError(.doubleEncoding, "a double encoding in the path") }
        if let parameters { matched.removeSubrange(parameters...) }
        return Segment(matched: matched, encoded: String(decoding: encoded, as: UTF8.self))
    }

    /// Whether a text is a host with an optional port (RFC 3986, 3.2.2).
    ///
    /// Refuses characters that the RFC allows but no host name uses, since they can make one host look like another.
    package static func isAuthority(_ text: String) -> Bool {
        var text = text
        return text.withUTF8 { isAuthority($0) }
    }

    private static func isAuthority(_ bytes: UnsafeBufferPointer<UInt8>) -> Bool {
        var end = 0
        if bytes.first == UInt8(ascii: "[") {
            guard let close = bytes.firstIndex(of: UInt8(ascii: "]")),
                IPAddress(String(decoding: bytes[1..<close], as: UTF8.self)) != nil
            else { return false }
            end = close + 1
        } else {
            var previous: UInt8 = 0
            while end < bytes.count, isHostByte(bytes[end]) {
                // An empty label; a dot at the end is the root's.
                if bytes[end] == UInt8(ascii: "."), previous == UInt8(ascii: ".") { return false }
                previous = bytes[end]
                end += 1
            }
            if end == 0 || end == 1 && previous == UInt8(ascii: ".") { return false }
        }
        if end == bytes.count { return true }
        // A colon and a port, which may be empty.
        return bytes[end] == UInt8(ascii: ":") && bytes.count - end <= 6
            && bytes[(end + 1)...].allSatisfy { (0x30...0x39).contains($0) }
    }

    private static func isHostByte(_ byte: UInt8) -> Bool {
        (0x30...0x39).contains(byte) || (0x61...0x7A).contains(byte | 0x20) || byte == 0x2D || byte == 0x2E
            || byte == 0x5F
    }

    /// Whether the bytes contain a percent-encoded byte.
    private static func holdsEncoding(_ bytes: [UInt8]) -> Bool {
        bytes.indices.contains { index in
            bytes[index] == UInt8(ascii: "%") && index + 2 < bytes.count && hex(bytes[index + 1]) != nil
                && hex(bytes[index + 2]) != nil
        }
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

    private static func escaped(_ byte: UInt8) -> [UInt8] {
        [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
    }

    /// Characters that mean the same whether encoded or not (RFC 3986, 2.3).
    private static let unreserved = Set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~".utf8)
    /// Characters that a path may contain unencoded (`pchar` of RFC 3986, 3.3).
    private static let pathBytes = unreserved.union("!$&'()*+,;=:@".utf8)
}
