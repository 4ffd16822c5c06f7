public import Weir

/// A limit as written in a policy.
public struct LimitRule: Sendable, Hashable {
    /// The limit's numbers in one tier.
    public struct Allowance: Sendable, Hashable {
        package enum Kind: Sendable, Hashable {
            case unlimited
            case rates([Rate])
            case concurrency(Int64)
        }

        package let kind: Kind

        package init(_ kind: Kind) { self.kind = kind }

        /// No limit.
        public static let unlimited = Allowance(.unlimited)
        /// The windows of a rate, one or more.
        public static func rates(_ rates: Rate...) -> Allowance { Allowance(.rates(rates)) }
        /// The windows of a rate, one or more.
        public static func rates(_ rates: [Rate]) -> Allowance { Allowance(.rates(rates)) }
        /// The number of requests in flight, 1 to 10^9.
        public static func concurrency(_ count: Int64) -> Allowance { Allowance(.concurrency(count)) }
    }

    /// Whether a limit's denials stop requests.
    public struct Mode: Sendable, Hashable {
        private let isShadow: Bool

        /// The limit denies requests.
        public static let enforce = Mode(isShadow: false)
        /// The limit decides, counts and logs, but never denies.
        public static let shadow = Mode(isShadow: true)
    }

    /// How instances that share a store keep a limit's count together.
    public struct Sync: Sendable, Hashable {
        private let isLeased: Bool

        /// The store decides every request.
        public static let exact = Sync(isLeased: false)
        /// Instances prefetch units and spend them without asking the store.
        public static let leased = Sync(isLeased: true)
    }

    /// The limit's name, 1 to 64 of `A-Za-z0-9_-`. It appears in headers and metrics.
    public var name: String
    /// The conditions on the requests that the limit applies to; all requests by default.
    public var match = RequestMatch()
    /// The parts of the limit's key; the client by default. It needs at least one.
    public var key: [KeyDimension] = [.client]
    /// The algorithm; a token bucket by default.
    public var algorithm = Algorithm.tokenBucket
    /// The limit's numbers, for all tiers or for each.
    public var allowance: ByTier<Allowance>
    /// The alignment of fixed windows.
    public var alignment = WindowAlignment.epoch
    /// The longest delay of a leaky bucket, 0 to 60 seconds; 1 second by default.
    public var maxWait = Limit.defaultMaximumWait
    /// The cost of a request; one unit by default.
    public var cost = CostRule.fixed(1)
    /// The lower numbers to start with; nil for none.
    public var warmUp: WarmUpRule?
    /// Whether the limit denies requests, or only counts and reports its decisions; it denies by default.
    public var mode = Mode.enforce
    /// Whether denied requests are charged too. Not for concurrency.
    public var countsDenied = false
    /// Whether the store decides every request, or instances may prefetch units; every request by default.
    public var sync = Sync.exact
    /// The behavior while the store fails; nil for the policy's setting.
    public var onStoreFailure: StoreFailureMode?

    package var isShadow: Bool { mode == .shadow }
    package var isLeased: Bool { sync == .leased }

    /// Creates a limit with default settings.
    public init(name: String, allowance: ByTier<Allowance>) {
        self.name = name
        self.allowance = allowance
    }
}

/// A factor on a limit's numbers until the service has warmed up.
public struct WarmUpRule: Sendable, Hashable {
    /// The end of a warm-up.
    public struct Until: Sendable, Hashable {
        package enum Kind: Sendable, Hashable {
            case after(Timestamp)
            case ready(path: String)
        }

        package let kind: Kind

        package init(_ kind: Kind) { self.kind = kind }

        /// Until this long after the start, at most 366 days. A fraction of a microsecond is rounded up.
        public static func after(_ time: Duration) -> Until {
            Until(.after(Timestamp(clamping: time.ticksRoundedUp)))
        }

        /// Until the upstream answers 2xx at this path; in an app, until ``RequestLimiter/endWarmUp()``.
        public static func ready(path: String) -> Until { Until(.ready(path: path)) }
    }

    /// The factor's numerator, at least 1.
    public var numerator: Int64
    /// The factor's denominator, at least the numerator and at most 10^9.
    public var denominator: Int64
    /// The end of the warm-up.
    public var until: Until

    /// Creates a warm-up that limits to a factor of the full numbers.
    ///
    /// - Parameters:
    ///   - numerator: the factor's numerator, at least 1.
    ///   - denominator: the factor's denominator, at least the numerator.
    ///   - until: the end of the warm-up.
    public init(_ numerator: Int64, over denominator: Int64, until: Until) {
        self.numerator = max(1, numerator)
        self.denominator = max(self.numerator, denominator)
        self.until = until
    }
}
