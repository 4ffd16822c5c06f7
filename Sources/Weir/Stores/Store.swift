/// Where counters live.
///
/// All charges of one call are decided together at one time: all are charged, or none is.
/// Shadow charges are charged iff they and all others allow.
///
/// A store answers at once (memory), or later (a server somewhere); see ``StoreAnswer``.
public protocol Store: Sendable {
    /// Makes the keys of this store.
    var keyHasher: KeyHasher { get }

    /// How many instances share this store now, as far as is known; at least 1.
    var instances: Int { get }

    /// Decides several charges together, in the order given.
    ///
    /// - Parameters:
    ///   - charges: of one request: all of them are charged, or none.
    ///   - decisions: receives one decision for each charge when the store answers at once; what it held before is removed.
    ///     Reusing one array saves an allocation for each request.
    /// - Returns: nil when `decisions` holds the answer, else a promise of it.
    func decide(_ charges: [Charge], into decisions: inout [Decision]) -> PendingAnswer<DecisionResult>?

    /// Applies a change; the answer says whether anything was changed.
    func apply(_ adjustment: Adjustment) -> StoreAnswer<Bool>

    /// Other limits are in force: what a store remembers of the decisions before is to be forgotten.
    func limitsDidChange()

    /// Whether a decision can fail. Callers keep a local store to fall back on when it can.
    ///
    /// A store that returns false answers every call at once.
    var canFail: Bool { get }

    /// The store's directory of clients, or nil when the store can't look clients up.
    var clientDirectory: (any TierLookup)? { get }

    /// The store's numbers about itself, as of now.
    var report: StoreReport { get }

    /// Does one `share`-th of the store's upkeep, such as dropping keys that have recovered.
    ///
    /// A server calls this from a timer. `share` calls in a row cover the whole store.
    ///
    /// - Parameter share: the number of calls in one round; at least 1.
    func maintain(share: Int)
}

extension Store {
    public var instances: Int { 1 }

    public func limitsDidChange() {}

    public var canFail: Bool { true }

    public var clientDirectory: (any TierLookup)? { nil }

    public var report: StoreReport { StoreReport() }

    public func maintain(share: Int) {}

    /// Decides several charges together, and waits for the answer if need be.
    public func decide(_ charges: [Charge]) async throws(StoreFailure) -> [Decision] {
        var decisions: [Decision] = []
        guard let pending = decide(charges, into: &decisions) else { return decisions }
        return try await pending.value.get()
    }
}

/// The decisions about one request, or why there are none.
public typealias DecisionResult = Result<[Decision], StoreFailure>
