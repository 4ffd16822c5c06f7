import RawStructuredFieldValues
import Weir

/// Writes the limit headers of every limited response (draft-ietf-httpapi-ratelimit-headers).
///
/// The structured-fields library serialises names and policies when the policy is loaded; a response only adds its
/// numbers.
final class LimitHeaders: Sendable {
    // A class, because every call would copy a structure with this many strings.
    let settings: HeaderSettings

    init(settings: HeaderSettings) {
        self.settings = settings
    }

    /// The largest integer of a structured field (RFC 9651).
    private static let largestInteger: Int64 = 999_999_999_999_999

    /// `"predict";q=20;w=60`, the limit as a member of `RateLimit-Policy`.
    static func policyItem(_ limit: Limit) -> String {
        var parameters: OrderedMap<String, RFC9651BareItem> = ["q": .integer(limit.numbers.count)]
        if limit.algorithm == .concurrency {
            parameters["qu"] = .string("concurrent-requests")
        } else {
            parameters["w"] = .integer(max(1, limit.numbers.period / 1_000_000))
        }
        return serialize(Item(bareItem: RFC9651BareItem.string(limit.name), parameters: parameters))
    }

    /// `"predict";r=`, the start of a limit's member of `RateLimit`.
    static func itemHead(_ name: String) -> String {
        serialize(Item(bareItem: RFC9651BareItem.string(name), parameters: [:])) + ";r="
    }

    private static func serialize(_ item: Item) -> String {
        var serializer = StructuredFieldValueSerializer()
        // The serialiser refuses only strings that are not ASCII, and a limit's name is letters, digits, `_` and `-`.
        guard let bytes = try? serializer.writeListFieldValue([.item(item)]) else { return "\"\"" }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// The reported limit, as one response's headers show it.
    struct Report {
        var window: LimitPlan.Window
        var decision: Decision
    }

    func write(policies: String, _ report: Report, to add: (LimitHeader, String) -> Void) {
        let decision = report.decision
        let seconds = Self.seconds(decision)
        if settings.sendsRateLimit {
            add(.rateLimitPolicy, policies)
            let remaining = min(decision.remaining, Self.largestInteger)
            add(.rateLimit, String(report.window.itemHead, number: remaining, separator: ";t=", second: seconds))
        }
        if settings.sendsXRateLimit {
            let isUsual = decision.quota == report.window.limit.numbers.count
            add(.limit, isUsual ? report.window.countText : String(digitsOf: decision.quota))
            add(.remaining, String(digitsOf: decision.remaining))
            if let reset = decision.resetTicks {
                let time = Self.wholeSeconds(settings.resetFormat == .delta ? reset : reset + Ticks(decision.timestamp))
                add(.reset, String(digitsOf: time))
            }
        }
        if settings.sendsRetryAfter, !decision.isAllowed, let seconds { add(.retryAfter, String(digitsOf: seconds)) }
    }

    /// `t`, in seconds: on a denial the same as Retry-After, else the reset. Nil when waiting can't help or there is
    /// no reset.
    static func seconds(_ decision: Decision) -> Int64? {
        if decision.isAllowed { return decision.resetTicks.map(wholeSeconds) }
        return decision.retryTicks.map { max(1, wholeSeconds($0)) }
    }

    /// Rounded up, so that a client that waits this many seconds doesn't return too early.
    private static func wholeSeconds(_ ticks: Ticks) -> Int64 {
        if let small = Int64(exactly: ticks), small < .max - 1_000_000 { return (small + 999_999) / 1_000_000 }
        return min(largestInteger, Int64(clamping: (ticks + 999_999) / 1_000_000))
    }
}
