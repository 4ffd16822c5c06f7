import WeirHTTP

/// A set of header names, found by length first, because hardly any name of a request has a length of theirs.
struct HeaderSet: Sendable {
    private var byLength: [[[UInt8]]] = []
    /// One bit for each length below 64 that some name has.
    private var lengths: UInt64 = 0

    /// The headers that concern one connection only (RFC 9110, 7.6.1), and framing, which each connection has of its own.
    static let hopByHop = [
        "connection", "keep-alive", "proxy-connection", "proxy-authenticate", "proxy-authorization", "te", "trailer",
        "transfer-encoding", "upgrade",
    ]

    init(_ names: [String]) {
        for name in names {
            let bytes = Array(name.utf8).map(\.asciiLowercased)
            // The longest name that a policy can have is far longer than any header of a request.
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
                    // CGI, WSGI and their like turn hyphens into underscores, so an underscore must not slip past.
                    let byte = bytes[index] == UInt8(ascii: "_") ? UInt8(ascii: "-") : bytes[index].asciiLowercased
                    if byte != candidate[index] { continue candidates }
                }
                return true
            }
            return false
        }
    }
}
