/// How a limit stands for one request.
public struct LimitStanding: Sendable, Hashable {
    /// The limit's name. The second window of a limit called `predict` is called `predict-2`.
    public let name: String
    /// The limit's number of units.
    public let quota: Int64
    /// The number of requests of cost 1 that would still pass; at least 0.
    public let remaining: Int64
    /// The time until the full quota is available again if no more requests arrive; nil for concurrency, which time
    /// alone never resets.
    public let resetAfter: Duration?
}
