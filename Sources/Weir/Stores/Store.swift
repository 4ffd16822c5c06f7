/// A place where counters are kept.
///
/// The charges of one call are decided together, at one time: all are charged, or none is. A shadow charge is charged
/// if it and all enforced charges allow.
///
/// A store answers at once, as in memory, or later, as from a server; see ``StoreAnswer``.
public protocol Store: Sendable {
    /// Makes this store's keys.
    var keyHasher: KeyHasher { get }

    /// The number of instances that share this store, as far as this one knows; at least 1.
    var instances: Int { get }

    /// Decides several charges together.
    ///
    /// - Parameters:
    ///   - charges: the charges of one request. All of them are charged, or none is.
    ///   - decisions: receives one decision per charge, in order, when the store answers at once. Earlier contents are
    ///     removed. Reusing one array saves an allocation per request.
    /// - Returns: nil when `decisions` holds the answer, otherwise a promise of it.
    func decide(_ charges: [Charge], into decisions: inout [Decision]) -> PendingAnswer<DecisionResult>?

    /// Decides as ``decide(_:into:)`` would, without charging, if that is possible without waiting.
    ///
    /// A server calls this before it reads a request's body, so that a client over a limit is denied unread. A denial
    /// is certain; if all charges are allowed, `decide` must still be called.
    ///
    /// - Parameters:
    ///   - charges: charges of one request, or some of them.
    ///   - decisions: receives one decision per charge, in order. Earlier contents are removed.
    /// - Returns: whether `decisions` holds the answer.
    func peek(_ charges: [Charge], into decisions: inout [Decision]) -> Bool

    /// Applies a change. The answer tells whether anything was changed.
    func apply(_ adjustment: Adjustment) -> StoreAnswer<Bool>

    /// Tells the store that the policy's limits have changed, so that it forgets earlier decisions.
    func limitsDidChange()

    /// Whether a decision can fail. Callers keep a local store to fall back on when it can.
    ///
    /// A store that returns false answers every call at once.
    var canFail: Bool { get }

    /// The store's directory of clients, or nil when the store can't look clients up.
    var clientDirectory: (any ClientDirectory)? { get }

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

    /// Decides if this store answers every call at once.
    public func peek(_ charges: [Charge], into decisions: inout [Decision]) -> Bool {
        guard !canFail else { return false }
        let unpaid = charges.map { charge in
            var charge = charge
            charge.cost = 0
            charge.isHold = false
            return charge
        }
        return decide(unpaid, into: &decisions) == nil
    }

    public var canFail: Bool { true }

    public var clientDirectory: (any ClientDirectory)? { nil }

    public var report: StoreReport { StoreReport() }

    public func maintain(share: Int) {}

    /// Decides several charges together, and waits for the answer if necessary.
    ///
    /// - Throws: ``StoreError`` when the store doesn't answer by its deadline.
    public func decide(_ charges: [Charge]) async throws(StoreError) -> [Decision] {
        var decisions: [Decision] = []
        guard let pending = decide(charges, into: &decisions) else { return decisions }
        return try await pending.value.get()
    }
}

/// The decisions about one request, or the reason why there are none.
public typealias DecisionResult = Result<[Decision], StoreError>
