import Weir

/// How a limit stands for one request.
public struct LimitStanding: Sendable, Hashable {
    /// The limit's name. The second window of a limit called `predict` is called `predict-2`.
    public let name: String
    /// The limit's number of units.
    public let quota: Int64
    /// The number of requests of cost 1 that would still pass; at least 0.
    public internal(set) var remaining: Int64
    /// The time until the full quota is available again if no more requests arrive; nil for concurrency, which time
    /// alone never resets.
    public let resetAfter: Duration?
}

/// A limit of a request, as an app's handler may charge it. It is a value apart from the request, which goes on
/// meanwhile.
package struct ChargeableLimit: Sendable {
    /// How the limit stands.
    package var standing: LimitStanding
    /// The limit's name in the policy; a second window has the same.
    package let name: String
    /// Whether its cost is in the response.
    package let isMetered: Bool
    let charge: Charge
    let store: any Store

    /// Charges units at once. Permits aren't charged.
    package mutating func charge(_ units: Int64) {
        guard units > 0, charge.numbers.algorithm != .concurrency else { return }
        var charge = charge
        charge.cost = min(units, Rate.maximumCount)
        _ = store.apply(.debit(charge))
        standing.remaining = max(0, standing.remaining - charge.cost)
    }
}
