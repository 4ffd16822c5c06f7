public import Weir

public struct LimitRule: Sendable {
    /// The limit's numbers in one tier.
    public enum Allowance: Sendable {
        case unlimited
        /// The windows of a rate.
        case rates([Rate])
        case concurrency(Int64)
    }

    public var name: String
    public var match = Match()
    public var key: [KeyDimension] = [.client]
    public var algorithm = Algorithm.tokenBucket
    public var allowance: ByTier<Allowance>
    public var alignment = WindowAlignment.epoch
    public var maxWait = Limit.defaultWait
    public var cost = CostRule.fixed(1)
    public var warmUp: WarmUpRule?
    public var isShadow = false
    public var countsDenied = false
    /// Whether instances that share a store may prefetch units and spend them without asking it.
    public var isLeased = false
    public var onStoreFailure: StoreFailureMode?

    public init(name: String, allowance: ByTier<Allowance>) {
        self.name = name
        self.allowance = allowance
    }
}

public struct WarmUpRule: Sendable {
    public enum Until: Sendable, Hashable {
        /// Until this many microseconds after the start.
        case after(Timestamp)
        /// Until the upstream answers 2xx at this path.
        case ready(path: String)
    }

    public var numerator: Int64
    public var denominator: Int64
    public var until: Until

    /// Creates a warm-up that limits to a factor of the full numbers.
    ///
    /// - Parameters:
    /// - numerator: the factor's numerator, at least 1.
    /// - denominator: the factor's denominator, at least the numerator.
    /// - until: the end of the warm-up.
    public init(_ numerator: Int64, over denominator: Int64, until: Until) {
        self.numerator = max(1, numerator)
        self.denominator = max(self.numerator, denominator)
        self.until = until
    }
}
