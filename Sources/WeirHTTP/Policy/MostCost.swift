/// The most units that a request may cost, for all tiers or for each.
public struct MostCost: Sendable, ExpressibleByIntegerLiteral {
    let byTier: ByTier<Int64>

    /// - Parameter units: 1 to 10^9.
    public init(_ units: Int64) { byTier = .all(units) }

    /// - Parameter each: the units of each tier, 1 to 10^9.
    public init(_ each: [String: Int64]) { byTier = .each(each) }

    public init(integerLiteral value: Int64) { self.init(value) }

    /// The units of a tier.
    ///
    /// - Parameter fallback: the tier of clients that have none.
    func units(for tier: String?, fallback: String?) -> Int64? { byTier.value(for: tier, fallback: fallback) }
}
