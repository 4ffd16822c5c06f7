/// The body of an answer that is Weir's own: `application/problem+json` (RFC 9457).
public struct ProblemDetails: Sendable, Hashable {
    public var status: Int
    public var type: String
    public var title: String
    public var detail: String
    /// The names of the limits that deny, in the policy's order.
    public var violatedPolicies: [String]

    public static let mediaType = "application/problem+json"

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
        let wait = retryAfter.map { " Try again in \($0) second\($0 == 1 ? "" : "s")." } ?? " Waiting does not help."
        return ProblemDetails(
            status: 429,
            type: "https://iana.org/assignments/http-problem-types#quota-exceeded",
            title: "Too Many Requests",
            detail: "The request exceeds a rate limit.\(wait)",
            violatedPolicies: names)
    }

    /// The answer while the store fails and a limit says `on_store_failure: deny`.
    static let storeFailed = temporarilyReduced("Rate limits can't be checked at the moment. Try again soon.")

    /// A 503 of type temporary-reduced-capacity.
    package static func temporarilyReduced(_ detail: String) -> ProblemDetails {
        ProblemDetails(
            status: 503, type: "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity",
            title: "Service Unavailable", detail: detail)
    }

    /// The body's text.
    public var json: String {
        var text = "{\"type\":\(Self.quote(type)),\"title\":\(Self.quote(title)),\"status\":\(status)"
        text += ",\"detail\":\(Self.quote(detail))"
        if !violatedPolicies.isEmpty {
            text += ",\"violated-policies\":[\(violatedPolicies.map(Self.quote).joined(separator: ","))]"
        }
        return text + "}"
    }

    /// A JSON string.
    package static func quote(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case "\u{0}"..<"\u{20}", "\u{7F}":
                let digits = String(scalar.value, radix: 16)
                result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }
}
