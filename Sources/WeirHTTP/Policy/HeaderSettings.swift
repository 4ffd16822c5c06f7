import Weir

/// The headers and bodies that tell clients about limits. Names are as sent.
public struct HeaderSettings: Sendable, Hashable {
    /// Whether to write `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers).
    public var sendsRateLimit = true
    /// Whether to write `X-RateLimit-Limit`, `-Remaining` and `-Reset`.
    public var sendsXRateLimit = true
    /// Whether to write `Retry-After` on denials.
    public var sendsRetryAfter = true
    /// Whether Weir's own answers have an `application/problem+json` body; otherwise the body is empty.
    public var sendsProblemDetails = true
    /// What `X-RateLimit-Reset` is; Unix time by default.
    public var resetFormat = ResetFormat.unixTime
    /// The name for `RateLimit`.
    public var rateLimitName = "RateLimit"
    /// The name for `RateLimit-Policy`.
    public var rateLimitPolicyName = "RateLimit-Policy"
    /// The name for `X-RateLimit-Limit`.
    public var limitName = "X-RateLimit-Limit"
    /// The name for `X-RateLimit-Remaining`.
    public var remainingName = "X-RateLimit-Remaining"
    /// The name for `X-RateLimit-Reset`.
    public var resetName = "X-RateLimit-Reset"

    /// Creates the default settings: all headers under their usual names.
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

    /// The names of the headers on every limited response.
    package var names: [String] { LimitHeader.allCases.filter(writesAlways).map(name) }

    /// Whether a header is on every limited response. Retry-After belongs to the handler unless a limit denies the
    /// request.
    package func writesAlways(_ header: LimitHeader) -> Bool {
        switch header {
        case .rateLimitPolicy, .rateLimit: sendsRateLimit
        case .limit, .remaining, .reset: sendsXRateLimit
        case .retryAfter: false
        }
    }
}

extension HeaderSettings {
    /// What `X-RateLimit-Reset` is.
    public struct ResetFormat: Sendable, Hashable {
        private let isDelta: Bool

        /// Seconds since the Unix epoch.
        public static let unixTime = ResetFormat(isDelta: false)
        /// Seconds from now.
        public static let delta = ResetFormat(isDelta: true)
    }
}

/// A limit header.
package enum LimitHeader: Int, CaseIterable {
    case rateLimitPolicy, rateLimit, limit, remaining, reset, retryAfter
}
