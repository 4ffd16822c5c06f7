import WeirHTTP

/// The error answers that the server makes itself, apart from the limits'.
enum Problem: Error, Hashable {
    /// Why the request can't be understood, or could be understood in two ways.
    case badRequest(String)
    case headerTooLarge
    case unsupportedVersion
    /// CONNECT: this is no forward proxy.
    case noForwardProxy
    /// The client didn't send its request in time.
    case requestTimeout
    case upstreamUnreachable
    /// The upstream closed the connection without an answer.
    case upstreamClosed
    /// The upstream's answer has no valid status.
    case upstreamInvalid
    /// The upstream didn't answer in time.
    case upstreamTimeout

    /// Whether the upstream is to blame.
    var isUpstreamFailure: Bool {
        switch self {
        case .upstreamUnreachable, .upstreamClosed, .upstreamInvalid, .upstreamTimeout: true
        case .badRequest, .headerTooLarge, .unsupportedVersion, .noForwardProxy, .requestTimeout: false
        }
    }

    var details: ProblemDetails {
        switch self {
        case .badRequest(let detail): Self.details(400, "Bad Request", detail)
        case .headerTooLarge:
            Self.details(431, "Request Header Fields Too Large", "The request's header is too large.")
        case .unsupportedVersion:
            Self.details(505, "HTTP Version Not Supported", "The gateway speaks HTTP/1.1.")
        case .noForwardProxy:
            Self.details(405, "Method Not Allowed", "CONNECT is not served: this is no forward proxy.")
        case .requestTimeout: Self.details(408, "Request Timeout", "The request was not sent in time.")
        case .upstreamUnreachable: Self.details(502, "Bad Gateway", "The upstream can't be reached.")
        case .upstreamClosed:
            Self.details(502, "Bad Gateway", "The upstream closed the connection without an answer.")
        case .upstreamInvalid: Self.details(502, "Bad Gateway", "The upstream's answer has no valid status.")
        case .upstreamTimeout: Self.details(504, "Gateway Timeout", "The upstream did not answer in time.")
        }
    }

    private static func details(_ status: Int, _ title: String, _ detail: String) -> ProblemDetails {
        ProblemDetails(status: status, title: title, detail: detail)
    }
}
