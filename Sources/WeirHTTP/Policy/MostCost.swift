/// The most units that a request may cost, for all tiers or for each.
public struct MostCost: Sendable, Hashable, ExpressibleByIntegerLiteral {
    let byTier: ByTier<Int64>

    /// The same for all tiers.
    ///
    /// - Parameter units: 1 to 10^9.
    public init(_ units: Int64) { byTier = .uniform(units) }

    /// A bound for each tier.
    ///
    /// - Parameter each: the units of each tier, 1 to 10^9.
    public init(_ each: [String: Int64]) { byTier = .perTier(each) }

    /// The same for all tiers.
    public init(integerLiteral value: Int64) { self.init(value) }

    /// The units of a tier.
    ///
    /// - Parameter fallback: the tier of clients that have none.
    func units(for tier: String?, fallback: String?) -> Int64? { byTier.value(for: tier, fallback: fallback) }
}
