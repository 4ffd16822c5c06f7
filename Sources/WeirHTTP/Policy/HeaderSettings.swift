import Weir

/// What a client is told. Names are those sent.
public struct HeaderSettings: Sendable, Hashable {
    /// `RateLimit-Policy` and `RateLimit`, of draft-ietf-httpapi-ratelimit-headers.
    public var rateLimit = true
    /// `X-RateLimit-Limit`, `-Remaining` and `-Reset`.
    public var xRateLimit = true
    public var retryAfter = true
    /// Whether answers of Weir's own carry `application/problem+json`; else an empty body.
    public var problem = true
    /// Whether `X-RateLimit-Reset` is in seconds from now, not Unix seconds.
    public var resetIsDelta = false
    public var rateLimitName = "RateLimit"
    public var rateLimitPolicyName = "RateLimit-Policy"
    public var limitName = "X-RateLimit-Limit"
    public var remainingName = "X-RateLimit-Remaining"
    public var resetName = "X-RateLimit-Reset"

    public init() {}

    package func name(of header: LimitHeader) -> String {
        switch header {
        case .rateLimitPolicy: rateLimitPolicyName
        case .rateLimit: rateLimitName
        case .limit: limitName
        case .remaining: remainingName
        case .reset: resetName
        case .retryAfter: "Retry-After"
        }
    }

    /// The names of the headers that are written on every limited response.
    package var names: [String] { LimitHeader.allCases.filter(writesAlways).map(name) }

    /// Whether a header is written on every limited response; Retry-After is the handler's own when nothing is denied.
    package func writesAlways(_ header: LimitHeader) -> Bool {
        switch header {
        case .rateLimitPolicy, .rateLimit: rateLimit
        case .limit, .remaining, .reset: xRateLimit
        case .retryAfter: false
        }
    }
}

/// A header about limits.
package enum LimitHeader: Int, CaseIterable {
    case rateLimitPolicy, rateLimit, limit, remaining, reset, retryAfter
}
