import WeirHTTP

/// Error answers that the server itself makes, as opposed to the limits'.
enum Problem: Error, Hashable {
    /// The request is malformed or ambiguous, for the given reason.
    case badRequest(String)
    case headerTooLarge
    case targetTooLong
    /// A GET or HEAD request has a body, which HTTP gives no meaning (RFC 9110, 9.3.1).
    case bodyNotAllowed
    case unknownMethod
    case unsupportedVersion
    /// The method is CONNECT, and this server is not a forward proxy.
    case noForwardProxy
    /// The client didn't send its request in time.
    case requestTimeout
    /// The bodies of other requests that are being decided fill `body_memory`.
    case bodyMemoryFull
    case upstreamUnreachable
    /// The upstream closed the connection without an answer.
    case upstreamClosed
    /// The upstream's answer has no valid status.
    case upstreamInvalid
    /// The upstream's answer isn't HTTP/1.1.
    case upstreamMalformed
    /// The upstream's answer has a transfer coding other than `chunked`, which this server can't take off.
    case upstreamCoding
    /// The upstream's answer has a header that is too large.
    case upstreamHeaderTooLarge
    /// The upstream's answer has a header that is too large for HTTP/2.
    case upstreamHeaderTooLargeForClient
    /// The upstream sent too many interim answers.
    case upstreamInterim
    /// The upstream didn't answer in time.
    case upstreamTimeout

    /// Whether the upstream caused it.
    var isUpstreamFailure: Bool {
        switch self {
        case .upstreamUnreachable, .upstreamClosed, .upstreamInvalid, .upstreamMalformed, .upstreamCoding,
            .upstreamHeaderTooLarge, .upstreamHeaderTooLargeForClient, .upstreamInterim, .upstreamTimeout:
            true
        case .badRequest, .headerTooLarge, .targetTooLong, .bodyNotAllowed, .unknownMethod, .unsupportedVersion,
            .noForwardProxy, .requestTimeout, .bodyMemoryFull:
            false
        }
    }

    var details: ProblemDetails {
        switch self {
        case .badRequest(let detail): Self.details(400, "Bad Request", detail)
        case .headerTooLarge:
            Self.details(431, "Request Header Fields Too Large", "The request's header is too large.")
        case .targetTooLong: Self.details(414, "URI Too Long", "The request's target is too long.")
        case .bodyNotAllowed: Self.details(400, "Bad Request", "A GET or HEAD request must not have a body.")
        case .unknownMethod: Self.details(501, "Not Implemented", "The request's method is unknown.")
        case .unsupportedVersion:
            Self.details(505, "HTTP Version Not Supported", "The gateway speaks HTTP/2 and HTTP/1.1.")
        case .noForwardProxy:
            Self.details(405, "Method Not Allowed", "CONNECT is not served: this is no forward proxy.")
        case .requestTimeout: Self.details(408, "Request Timeout", "The request was not sent in time.")
        case .bodyMemoryFull: .bodyMemoryFull
        case .upstreamUnreachable: Self.details(502, "Bad Gateway", "The upstream can't be reached.")
        case .upstreamClosed:
            Self.details(502, "Bad Gateway", "The upstream closed the connection without an answer.")
        case .upstreamInvalid: Self.details(502, "Bad Gateway", "The upstream's answer has no valid status.")
        case .upstreamMalformed: Self.details(502, "Bad Gateway", "The upstream's answer is not sound HTTP/1.1.")
        case .upstreamCoding:
            Self.details(502, "Bad Gateway", "The upstream's answer has a transfer coding other than 'chunked'.")
        case .upstreamHeaderTooLarge:
            Self.details(
                502, "Bad Gateway",
                "The upstream's answer has a header of more than \(UpstreamConnection.mostFields) fields, or one that is too large."
            )
        case .upstreamHeaderTooLargeForClient:
            Self.details(
                502, "Bad Gateway",
                "The upstream's answer has a header that is too large for HTTP/2. Up to 12 kB always fit.")
        case .upstreamInterim: Self.details(502, "Bad Gateway", "The upstream sent too many interim answers.")
        case .upstreamTimeout: Self.details(504, "Gateway Timeout", "The upstream did not answer in time.")
        }
    }

    private static func details(_ status: Int, _ title: String, _ detail: String) -> ProblemDetails {
        ProblemDetails(status: status, title: title, detail: detail)
    }
}
