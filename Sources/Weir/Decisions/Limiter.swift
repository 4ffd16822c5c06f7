/// One limit over any number of keys, for whatever needs limiting: outgoing calls, jobs, a command.
///
/// ```swift
/// let limiter = try Limiter(Limit("mail", .perMinute(20)))
/// if limiter.decide("alice").allowed { … }         // answers at once
/// try await limiter.acquire("alice")                // waits for its turn
/// ```
public struct Limiter: Sendable {
    public let limit: Limit
    public let store: MemoryStore
    private let seed: UInt64
    private let line: AcquiringLine

    /// - Parameters:
    ///   - limit: what to hold each key to.
    ///   - store: where to count; a new one unless given.
    public init(_ limit: Limit, store: MemoryStore = MemoryStore()) {
        self.limit = limit
        self.store = store
        seed = store.keyHasher.seed(for: limit.identity)
        line = AcquiringLine(limit, clock: store.clock)
    }

    /// Decides at once.
    ///
    /// - Parameters:
    ///   - key: whose budget is spent.
    ///   - cost: 0 to 10^9; 0 is a peek.
    public func decide(_ key: String, cost: Int64 = 1) -> Decision {
        let now = store.now()
        return store.decideNow(limit.numbers, store.keyHasher.key(key, seed: seed), cost: cost, at: now)
    }

    /// Gives back what a decision about a key charged: once, never above capacity, nothing after a
    /// reset or the window's end. For concurrency it frees the permit.
    ///
    /// - Parameters:
    ///   - receipt: the decision's.
    ///   - key: the same as for the decision.
    ///   - cost: the same as for the decision.
    /// - Returns: whether anything was given back.
    @discardableResult
    public func refund(_ receipt: Receipt, _ key: String, cost: Int64 = 1) -> Bool {
        let isRefunded = store.applyNow(.refund(charge(key, cost), receipt))
        if isRefunded { line.somethingWasFreed(key) }
        return isRefunded
    }

    /// Charges after the fact, into debt of at most one capacity.
    @discardableResult
    public func debit(_ key: String, cost: Int64) -> Bool {
        store.applyNow(.debit(charge(key, cost)))
    }

    /// Waits until the limit lets a key spend, and spends it.
    ///
    /// Those who wait for one key come in the order in which they asked, whatever their costs; ``decide(_:cost:)`` doesn't
    /// stand in line. With a leaky bucket it returns at the slot. A permit of a concurrency limit must be given back by
    /// ``refund(_:_:cost:)``, or taken by ``withPermit(_:cost:within:_:)``, which does.
    ///
    /// - Parameters:
    ///   - key: whose budget is spent.
    ///   - cost: 1 to 10^9.
    ///   - longest: the most microseconds to wait, in line, for the limit and for a leaky bucket's slot together; nil for as
    ///     long as it takes.
    /// - Returns: the decision that allowed it.
    /// - Throws: ``AcquireError`` when it can never pass, or not in time; `CancellationError` when the task is cancelled:
    ///   then nothing was spent.
    @discardableResult
    public func acquire(_ key: String, cost: Int64 = 1, within longest: Timestamp? = nil) async throws -> Decision {
        try await line.acquire(key, cost: cost, within: longest) {
            decide(key, cost: $0)
        } giveBack: {
            refund($0, key, cost: $1)
        }
    }

    /// Holds a permit of a concurrency limit while `body` runs, or spends a cost of any other before it.
    ///
    /// - Throws: as ``acquire(_:cost:within:)`` does, or what `body` throws.
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

    /// Forgets a key.
    @discardableResult
    public func reset(_ key: String) -> Bool {
        let isReset = store.applyNow(.reset(limit.numbers, store.keyHasher.key(key, seed: seed)))
        if isReset { line.somethingWasFreed(key) }
        return isReset
    }
}
