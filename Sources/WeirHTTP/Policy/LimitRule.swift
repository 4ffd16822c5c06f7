public import Weir

/// A limit as written in a policy.
public struct LimitRule: Sendable {
    /// The limit's numbers in one tier.
    public enum Allowance: Sendable {
        /// No limit.
        case unlimited
        /// The windows of a rate.
        case rates([Rate])
        /// The number of requests in flight, 1 to 10^9.
        case concurrency(Int64)
    }

    /// The limit's name, 1 to 64 of `A-Za-z0-9_-`. It appears in headers and metrics.
    public var name: String
    /// The conditions on the requests that the limit applies to; all requests by default.
    public var match = Match()
    /// The parts of the limit's key; the client by default. It needs at least one.
    public var key: [KeyDimension] = [.client]
    /// The algorithm; a token bucket by default.
    public var algorithm = Algorithm.tokenBucket
    /// The limit's numbers, for all tiers or for each.
    public var allowance: ByTier<Allowance>
    /// The alignment of fixed windows.
    public var alignment = WindowAlignment.epoch
    /// The longest delay of a leaky bucket in microseconds, 0 to 60 s; 1 s by default.
    public var maxWait = Limit.defaultWait
    /// The cost of a request; one unit by default.
    public var cost = CostRule.fixed(1)
    /// The lower numbers to start with; nil for none.
    public var warmUp: WarmUpRule?
    /// Whether the limit is in shadow mode: it counts and reports its decisions but denies nothing.
    public var isShadow = false
    /// Whether denied requests are charged too. Not for concurrency.
    public var countsDenied = false
    /// Whether instances that share a store may prefetch units and spend them without asking it.
    public var isLeased = false
    /// The behavior while the store fails; nil for the server's setting.
    public var onStoreFailure: StoreFailureMode?

    /// Creates a limit with default settings.
    public init(name: String, allowance: ByTier<Allowance>) {
        self.name = name
        self.allowance = allowance
    }
}

/// A factor on a limit's numbers until the service has warmed up.
public struct WarmUpRule: Sendable {
    /// The end of a warm-up.
    public enum Until: Sendable, Hashable {
        /// Until this many microseconds after the start.
        case after(Timestamp)
        /// Until the upstream answers 2xx at this path.
        case ready(path: String)
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
