import NIOHTTP1
import WeirHTTP

/// Refuses requests that two readers could understand differently, and those that this gateway does not serve.
///
/// The parser (llhttp, without leniency) already refuses two Content-Lengths, Content-Length beside
/// Transfer-Encoding, folded lines, bare line feeds, spaces before a colon and control characters.
/// What it lets pass is refused here.
enum RequestFraming {
    /// Nil when the request is sound.
    static func problem(_ head: HTTPRequestHead) -> ProblemDetails? {
        guard head.version == .http1_1 || head.version == .http1_0 else {
            return ProblemDetails(
                status: 505, title: "HTTP Version Not Supported", detail: "The gateway speaks HTTP/1.1.")
        }
        if head.method == .CONNECT {
            return ProblemDetails(
                status: 405, title: "Method Not Allowed", detail: "CONNECT is not served: this is no forward proxy.")
        }
        var hosts = 0
        var codings = 0
        var lengths = 0
        var hasOtherCoding = false
        for (name, value) in head.headers {
            switch name.utf8.count {
            case 4 where name.isEqualIgnoringCase("host"):
                hosts += 1
                if !RequestPath.isAuthority(value.trimmingBlanks()) {
                    return bad("The Host header must be a host and perhaps a port.")
                }
            case 14 where name.isEqualIgnoringCase("content-length"): lengths += 1
            case 17 where name.isEqualIgnoringCase("transfer-encoding"):
                codings += 1
                if !value.trimmingBlanks().isEqualIgnoringCase("chunked") { hasOtherCoding = true }
            default: break
            }
        }
        if hosts > 1 || hosts == 0 && head.version == .http1_1 {
            return bad("A request must have exactly one Host header.")
        }
        if codings > 1 || hasOtherCoding {
            return bad("The only Transfer-Encoding of a request is 'chunked', once.")
        }
        if codings > 0, lengths > 0 { return bad("A request must not have both Transfer-Encoding and Content-Length.") }
        if codings > 0, head.version == .http1_0 { return bad("HTTP/1.0 has no Transfer-Encoding.") }
        if lengths > 1 { return bad("A request must not have two Content-Lengths.") }
        return nil
    }

    static func bad(_ detail: String) -> ProblemDetails {
        ProblemDetails(status: 400, title: "Bad Request", detail: detail)
    }

    /// What to answer when the parser gave up.
    static func problem(_ error: any Error) -> ProblemDetails {
        switch error as? HTTPParserError {
        case .headerOverflow:
            ProblemDetails(
                status: 431, title: "Request Header Fields Too Large", detail: "The request's header is too large.")
        case .invalidVersion:
            ProblemDetails(
                status: 505, title: "HTTP Version Not Supported", detail: "The gateway speaks HTTP/1.1.")
        default: bad("The request is not sound HTTP/1.1.")
        }
    }
}

extension String {
    /// Compares with ASCII text in lower case.
    @inline(__always)
    func isEqualIgnoringCase(_ lowercase: StaticString) -> Bool {
        guard utf8.count == lowercase.utf8CodeUnitCount else { return false }
        var copy = self
        return copy.withUTF8 { bytes in
            for index in 0..<bytes.count where bytes[index].asciiLowercased != lowercase.utf8Start[index] {
                return false
            }
            return true
        }
    }

    func trimmingBlanks() -> String {
        guard utf8.last == 0x20 || utf8.last == 0x09 || utf8.first == 0x20 || utf8.first == 0x09 else { return self }
        let isBlank: (Character) -> Bool = { $0 == " " || $0 == "\t" }
        return String(drop(while: isBlank).reversed().drop(while: isBlank).reversed())
    }
}
