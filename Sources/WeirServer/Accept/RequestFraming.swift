import NIOHTTP1
import WeirHTTP

/// Rejects requests that two parsers could read differently, and those that this server does not serve.
///
/// The parser (llhttp, without leniency) already rejects two Content-Lengths, Content-Length with Transfer-Encoding,
/// folded lines, bare line feeds, spaces before a colon and control characters. This type rejects the rest.
enum RequestFraming {
    /// Returns the framing of the request's body.
    ///
    /// - Throws: the reason why the request is not served.
    static func check(_ head: HTTPRequestHead) throws(Problem) -> BodyFraming {
        guard head.version == .http1_1 || head.version == .http1_0 else { throw .unsupportedVersion }
        if head.method == .CONNECT { throw .noForwardProxy }
        var hosts = 0
        var codings = 0
        var lengths = 0
        var length = 0
        var hasOtherCoding = false
        for (name, value) in head.headers {
            switch name.utf8.count {
            case 4 where name.isEqualIgnoringCase("host"):
                hosts += 1
                if !RequestPath.isAuthority(value.trimmingBlanks()) {
                    throw .badRequest("The Host header must be a host and perhaps a port.")
                }
            case 14 where name.isEqualIgnoringCase("content-length"):
                lengths += 1
                guard let value = Int(value.trimmingBlanks()), value >= 0 else {
                    throw .badRequest("The Content-Length must be a whole number.")
                }
                length = value
            case 17 where name.isEqualIgnoringCase("transfer-encoding"):
                codings += 1
                if !value.trimmingBlanks().isEqualIgnoringCase("chunked") { hasOtherCoding = true }
            default: break
            }
        }
        if hosts > 1 || hosts == 0 && head.version == .http1_1 {
            throw .badRequest("A request must have exactly one Host header.")
        }
        if codings > 1 || hasOtherCoding {
            throw .badRequest("The only Transfer-Encoding of a request is 'chunked', once.")
        }
        if codings > 0, lengths > 0 {
            throw .badRequest("A request must not have both Transfer-Encoding and Content-Length.")
        }
        if codings > 0, head.version == .http1_0 { throw .badRequest("HTTP/1.0 has no Transfer-Encoding.") }
        if lengths > 1 { throw .badRequest("A request must not have two Content-Lengths.") }
        if codings > 0 { return .chunked }
        return length > 0 ? .length(length) : .none
    }

    /// The answer to a request that the parser rejected.
    static func problem(_ error: any Error) -> Problem {
        switch error {
        case RequestDecoder.LineError.unknownMethod: .unknownMethod
        case RequestDecoder.LineError.targetTooLong: .targetTooLong
        case HTTPParserError.headerOverflow: .headerTooLarge
        case HTTPParserError.invalidVersion: .unsupportedVersion
        default: .badRequest("The request is not sound HTTP/1.1.")
        }
    }
}

extension HTTPRequestHead {
    /// Whether the client waits for `100 Continue` before it sends its body (RFC 9110, 10.1.1).
    var expectsContinue: Bool {
        for (name, value) in headers where name.isEqualIgnoringCase("expect") {
            return value.isEqualIgnoringCase("100-continue")
        }
        return false
    }

    var asksForUpgrade: Bool {
        for (name, _) in headers where name.isEqualIgnoringCase("upgrade") { return true }
        return false
    }
}

extension String {
    /// Compares with ASCII text that is in lower case.
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

    /// The text without spaces and tabs at either end.
    func trimmingBlanks() -> String {
        guard utf8.last == 0x20 || utf8.last == 0x09 || utf8.first == 0x20 || utf8.first == 0x09 else { return self }
        let isBlank: (Character) -> Bool = { $0 == " " || $0 == "\t" }
        return String(drop(while: isBlank).reversed().drop(while: isBlank).reversed())
    }
}
