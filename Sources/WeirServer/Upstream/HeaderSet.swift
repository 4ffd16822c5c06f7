import WeirHTTP

/// A set of header names. It looks at the length first, because few of a request's names have a length in the set.
struct HeaderSet: Sendable {
    private var byLength: [[[UInt8]]] = []
    /// One bit for each length below 64 in the set.
    private var lengths: UInt64 = 0

    /// The headers that concern one connection only (RFC 9110, 7.6.1), and framing, which each connection decides
    /// itself.
    static let hopByHop = [
        "connection", "keep-alive", "proxy-connection", "proxy-authenticate", "proxy-authorization", "te", "trailer",
        "transfer-encoding", "upgrade",
    ]

    init(_ names: [String]) {
        for name in names {
            let bytes = name.utf8.map(Self.folded)
            // A policy's names may be far longer than any header name in a request.
            while byLength.count <= bytes.count { byLength.append([]) }
            if bytes.count < 64 { lengths |= 1 << UInt64(bytes.count) }
            if !byLength[bytes.count].contains(bytes) { byLength[bytes.count].append(bytes) }
        }
    }

    @inline(__always)
    func contains(_ name: String) -> Bool {
        let length = name.utf8.count
        if length < 64 {
            guard lengths & 1 << UInt64(truncatingIfNeeded: length) != 0 else { return false }
        } else if length >= byLength.count {
            return false
        }
        return isListed(name)
    }

    private func isListed(_ name: String) -> Bool {
        var name = name
        return name.withUTF8 { bytes in
            candidates: for candidate in byLength[bytes.count] {
                for index in 0..<bytes.count {
                    if Self.folded(bytes[index]) != candidate[index] { continue candidates }
                }
                return true
            }
            return false
        }
    }

    /// A byte of a name as CGI, WSGI and others fold it: in one case, and all marks alike. No mark may evade the set.
    @inline(__always)
    private static func folded(_ byte: UInt8) -> UInt8 {
        let lower = byte.asciiLowercased
        let isAlphanumeric = (0x61...0x7A).contains(lower) || (0x30...0x39).contains(lower)
        return isAlphanumeric ? lower : UInt8(ascii: "-")
    }
}
