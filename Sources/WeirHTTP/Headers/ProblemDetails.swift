/// The body of Weir's own answers: `application/problem+json` (RFC 9457).
public struct ProblemDetails: Sendable, Hashable {
    /// The HTTP status code, 400 to 599.
    public var status: Int
    /// A URI that identifies the kind of problem; `about:blank` for a problem that the status describes fully.
    public var type: String
    /// A short summary of the kind of problem.
    public var title: String
    /// An explanation of this occurrence.
    public var detail: String
    /// The names of the limits that denied the request, in the policy's order.
    public var violatedPolicies: [String]

    /// The media type of ``json``.
    public static let mediaType = "application/problem+json"

    /// Creates a problem.
    public init(
        status: Int, type: String = "about:blank", title: String, detail: String, violatedPolicies: [String] = []
    ) {
        self.status = status
        self.type = type
        self.title = title
        self.detail = detail
        self.violatedPolicies = violatedPolicies
    }

    static func quotaExceeded(_ names: [String], retryAfter: Int64?) -> ProblemDetails {
        let detail =
            switch retryAfter {
            case 1?: "The request exceeds a rate limit. Try again in 1 second."
            case let seconds?:
                "The request exceeds a rate limit. Try again in " + String(digitsOf: seconds) + " seconds."
            case nil: "The request exceeds a rate limit. Waiting does not help."
            }
        return ProblemDetails(
            status: 429,
            type: "https://iana.org/assignments/http-problem-types#quota-exceeded",
            title: "Too Many Requests",
            detail: detail,
            violatedPolicies: names)
    }

    /// The answer when the store fails and a limit says `on_store_failure: deny`.
    static let storeFailed = temporarilyReduced("Rate limits can't be checked at the moment. Try again soon.")

    /// The answer when the bodies that are read before their requests are decided fill ``GatewaySettings/bodyMemory``.
    package static let bodyMemoryFull = temporarilyReduced(
        "Too many requests with long bodies are being decided. Try again soon.")

    /// A 503 of type temporary-reduced-capacity.
    package static func temporarilyReduced(_ detail: String) -> ProblemDetails {
        ProblemDetails(
            status: 503, type: "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity",
            title: "Service Unavailable", detail: detail)
    }

    /// The problem as JSON text.
    public var json: String {
        var text = ""
        text.reserveCapacity(320)
        text += "{\"type\":"
        text.append(quoting: type)
        text += ",\"title\":"
        text.append(quoting: title)
        text += ",\"status\":"
        text += String(digitsOf: Int64(status))
        text += ",\"detail\":"
        text.append(quoting: detail)
        if !violatedPolicies.isEmpty {
            text += ",\"violated-policies\":["
            for (index, name) in violatedPolicies.enumerated() {
                if index > 0 { text += "," }
                text.append(quoting: name)
            }
            text += "]"
        }
        text += "}"
        return text
    }

    /// Quotes a text as a JSON string.
    package static func quote(_ text: String) -> String {
        var result = ""
        result.append(quoting: text)
        return result
    }
}

extension String {
    /// Appends the text as a JSON string (RFC 8259, section 7).
    fileprivate mutating func append(quoting text: String) {
        self += "\""
        // Most texts have nothing to escape.
        if text.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7F && $0 != UInt8(ascii: "\"") && $0 != UInt8(ascii: "\\") }) {
            self += text
        } else {
            append(escaping: text)
        }
        self += "\""
    }

    private mutating func append(escaping text: String) {
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": self += "\\\""
            case "\\": self += "\\\\"
            case "\u{0}"..<"\u{20}", "\u{7F}":
                let digits = String(scalar.value, radix: 16)
                self += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: unicodeScalars.append(scalar)
            }
        }
    }
}
