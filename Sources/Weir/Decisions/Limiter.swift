/// One limit over any number of keys, for anything that needs limiting: outgoing calls, jobs, commands.
///
/// ```swift
/// let limiter = try Limiter(Limit("mail", .perMinute(20)))
/// if limiter.decide("alice").allowed { … }         // answers at once
/// try await limiter.acquire("alice")                // waits for its turn
/// ```
public struct Limiter: Sendable {
    /// The limit that each key is held to.
    public let limit: Limit
    /// The store that counts.
    public let store: MemoryStore
    private let seed: UInt64
    private let line: AcquiringLine

    /// Creates a limiter.
    ///
    /// - Parameters:
    ///   - limit: the limit that each key is held to.
    ///   - store: the store that counts; a new one by default.
    public init(_ limit: Limit, store: MemoryStore = MemoryStore()) {
        self.limit = limit
        self.store = store
        seed = store.keyHasher.seed(for: limit.identity)
        line = AcquiringLine(limit, clock: store.clock)
    }

    /// Decides at once.
    ///
    /// - Parameters:
    ///   - key: the key whose budget is spent.
    ///   - cost: 0 to 10^9; 0 is a peek, which changes nothing.
    public func decide(_ key: String, cost: Int64 = 1) -> Decision {
        let now = store.now()
        return store.decideNow(limit.numbers, store.keyHasher.key(key, seed: seed), cost: cost, at: now)
    }

    /// Gives back what a decision charged: once, never above the capacity, and not after a reset or the window's end.
    /// For a concurrency limit it frees the permit.
    ///
    /// - Parameters:
    ///   - receipt: the decision's receipt.
    ///   - key: the decision's key.
    ///   - cost: the decision's cost.
    /// - Returns: whether anything was given back.
    @discardableResult
    public func refund(_ receipt: Receipt, _ key: String, cost: Int64 = 1) -> Bool {
        let isRefunded = store.applyNow(.refund(charge(key, cost), receipt))
        if isRefunded { line.somethingWasFreed(key) }
        return isRefunded
    }

    /// Charges after the fact, into debt of at most one capacity.
    ///
    /// - Returns: whether anything was charged.
    @discardableResult
    public func debit(_ key: String, cost: Int64) -> Bool {
        store.applyNow(.debit(charge(key, cost)))
    }

    /// Waits until `key` has budget for `cost`, then spends it.
    ///
    /// Callers that wait for the same key proceed in the order in which they asked, whatever their costs;
    /// ``decide(_:cost:)`` doesn't wait in line. With a leaky bucket, this returns at the request's slot. A permit of a
    /// concurrency limit must be given back with ``refund(_:_:cost:)``; ``withPermit(_:cost:within:_:)`` does so for
    /// you.
    ///
    /// - Parameters:
    ///   - key: the key whose budget is spent.
    ///   - cost: 1 to 10^9.
    ///   - longest: the longest time to wait in total, in microseconds; nil to wait as long as it takes.
    /// - Returns: the decision that allowed it.
    /// - Throws: ``AcquireError`` when the cost can never pass or can't pass in time; `CancellationError` when the task
    ///   is cancelled. Anything spent by then is given back.
    @discardableResult
    public func acquire(_ key: String, cost: Int64 = 1, within longest: Timestamp? = nil) async throws -> Decision {
        try await line.acquire(key, cost: cost, within: longest) {
            decide(key, cost: $0)
        } giveBack: {
            refund($0, key, cost: $1)
        }
    }

    /// Holds a permit of a concurrency limit while `body` runs. With any other limit, spends `cost` before `body` runs.
    ///
    /// - Throws: what ``acquire(_:cost:within:)`` or `body` throws.
    public func withPermit<Result>(
        _ key: String, cost: Int64 = 1, within longest: Timestamp? = nil, _ body: () async throws -> Result
    ) async throws -> Result {
        try await line.withPermit(key, cost: cost, within: longest, body) {
            decide(key, cost: $0)
        } giveBack: {
            refund($0, key, cost: $1)
        }
    }

    private func charge(_ key: String, _ cost: Int64) -> Charge {
        Charge(limit.numbers, key: store.keyHasher.key(key, seed: seed), cost: cost)
    }

    /// Forgets a key, which then has its full quota.
    ///
    /// - Returns: whether any of its quota was used.
    @discardableResult
    public func reset(_ key: String) -> Bool {
        let isReset = store.applyNow(.reset(limit.numbers, store.keyHasher.key(key, seed: seed)))
        if isReset { line.somethingWasFreed(key) }
        return isReset
    }
}
