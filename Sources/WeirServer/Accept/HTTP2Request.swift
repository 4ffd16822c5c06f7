import NIOHPACK
import NIOHTTP1
import WeirHTTP

/// A request's header from HTTP/2, in the form of HTTP/1.1, checked (RFC 9113, 8.2 and 8.3).
///
/// NIO already rejects upper-case names, connection-specific fields, pseudo-header fields that are repeated, unknown,
/// missing or late, and CR, LF and NUL in values. This type rejects what else an HTTP/1.1 upstream could read
/// differently.
struct HTTP2Request {
    let head: HTTPRequestHead
    /// The framing of the body; nil if there must be none but the stream has not ended yet.
    let framing: BodyFraming?

    /// The most fields in a header, for both protocols.
    static let mostFields = 200

    /// - Parameters:
    ///   - endsStream: whether nothing follows the header.
    ///   - maxSize: the largest header, in bytes: names and values, and 32 for each field (RFC 9113, 6.5.2).
    /// - Throws: the reason why the request is not served.
    init(_ fields: HPACKHeaders, endsStream: Bool, maxSize: Int) throws(Problem) {
        var reader = Reader(maxSize: maxSize)
        for (name, value, _) in fields { try reader.take(name, value) }
        head = try reader.head()
        framing = try Self.framing(of: head.method, length: reader.length, endsStream: endsStream)
    }

    private static func framing(of method: HTTPMethod, length: Int?, endsStream: Bool) throws(Problem) -> BodyFraming? {
        if endsStream {
            if let length, length > 0 {
                throw .badRequest("The request has a Content-Length, but no body.")
            }
            return BodyFraming.none
        }
        if method == .GET || method == .HEAD {
            if let length, length > 0 { throw .bodyNotAllowed }
            return nil
        }
        guard let length else { return .chunked }
        // NIO sees to it that the body is as long as it says.
        return length > 0 ? .length(length) : nil
    }

    private struct Reader {
        let maxSize: Int
        var size = 0
        var count = 0
        var method = ""
        var path = ""
        var scheme = ""
        var authority: String?
        var host: String?
        var cookies: [String] = []
        var length: Int?
        var headers: [(String, String)] = []

        mutating func take(_ name: String, _ value: String) throws(Problem) {
            count += 1
            // All of it is in memory, so the sum can't overflow.
            size += name.utf8.count + value.utf8.count + 32
            if name == ":path", value.utf8.count > maxSize { throw .targetTooLong }
            if size > maxSize || count > HTTP2Request.mostFields { throw .headerTooLarge }
            guard value.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7F || $0 == 0x09 }) else {
                throw .badRequest("The value of '\(name.prefix(64))' has a control character.")
            }
            switch name {
            case ":method": method = value
            case ":path": path = value
            case ":scheme": scheme = value
            case ":authority": authority = value
            case "host":
                if host != nil { throw .badRequest("A request must have exactly one Host header.") }
                host = value.trimmingBlanks()
            // A client may split its cookies; an HTTP/1.1 server expects one field (RFC 9113, 8.2.3).
            case "cookie": cookies.append(value)
            case "content-length":
                if length != nil { throw .badRequest("A request must not have two Content-Lengths.") }
                guard value.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let number = Int(value) else {
                    throw .badRequest("The Content-Length must be a whole number.")
                }
                length = number
                headers.append((name, value))
            default: headers.append((name, value.trimmingBlanks()))
            }
        }

        func head() throws(Problem) -> HTTPRequestHead {
            let method = HTTPMethod(rawValue: method)
            if method == .CONNECT { throw .noForwardProxy }
            if case .RAW = method { throw .unknownMethod }
            guard scheme == "http" || scheme == "https" else {
                throw .badRequest("The scheme must be http or https.")
            }
            guard path.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }),
                path.utf8.first == UInt8(ascii: "/") || path == "*" && method == .OPTIONS
            else { throw .badRequest("The path must begin with '/', and have no blanks.") }
            if let host, let authority, host.lowercased() != authority.lowercased() {
                throw .badRequest("The Host header contradicts the request's authority.")
            }
            guard let host = authority ?? host, !host.isEmpty else {
                throw .badRequest("A request must have exactly one Host header.")
            }
            guard RequestPath.isAuthority(host) else {
                throw .badRequest("The Host header must be a host and perhaps a port.")
            }
            var fields = [("host", host)] + headers
            if !cookies.isEmpty { fields.append(("cookie", cookies.joined(separator: "; "))) }
            return HTTPRequestHead(
                version: HTTPVersion(major: 2, minor: 0), method: method, uri: path, headers: HTTPHeaders(fields))
        }
    }
}
