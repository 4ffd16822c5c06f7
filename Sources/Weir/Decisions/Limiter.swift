/// One limit over any number of keys, for anything that needs limiting: outgoing calls, jobs, commands.
///
/// ```swift
/// let limiter = Limiter(try Limit("mail", .perMinute(20)))
/// if limiter.attempt("alice").isAllowed { … }       // answers at once
/// try await limiter.acquire("alice")                 // waits for its turn
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

    /// Spends a key's budget if it has enough, and answers at once.
    ///
    /// - Parameters:
    ///   - key: the key whose budget is spent.
    ///   - cost: 1 to 10^9. Smaller numbers count as 1, so that a computed cost of 0 is no free pass.
    public func attempt(_ key: String, cost: Int64 = 1) -> Attempt {
        let now = store.now()
        let hashed = store.keyHasher.key(key, seed: seed)
        let cost = max(1, cost)
        return Attempt(
            store.decideNow(limit.numbers, hashed, cost: cost, at: now), key: hashed, cost: cost, line: hashed.low)
    }

    /// Looks at a key's budget without spending any of it.
    ///
    /// - Parameters:
    ///   - key: the key to look at.
    ///   - cost: the cost to decide about, 1 to 10^9.
    /// - Returns: the decision that ``attempt(_:cost:)`` would make now.
    public func peek(_ key: String, cost: Int64 = 1) -> Decision {
        store.decideNow(
            Charge(limit.numbers, key: store.keyHasher.key(key, seed: seed), cost: 0, required: max(1, cost)))
    }

    /// Gives back what an attempt spent: once, within an hour, never above the capacity, and not after a reset or the
    /// window's end. For a concurrency limit it frees the permit.
    ///
    /// - Parameter receipt: the attempt's receipt.
    /// - Returns: whether anything was given back.
    @discardableResult
    public func refund(_ receipt: Attempt.Receipt) -> Bool {
        let charge = Charge(limit.numbers, key: receipt.key, cost: receipt.cost)
        let isRefunded = store.applyNow(.refund(charge, receipt.charge))
        if isRefunded { line.somethingWasFreed(receipt.line) }
        return isRefunded
    }

    /// Charges after the fact: a token bucket into debt of at most ``Limit``'s `mostDebt`, other limits into debt of at
    /// most one capacity.
    ///
    /// - Parameters:
    ///   - cost: 1 to 10^9; nothing is charged for smaller numbers.
    ///   - key: the key whose budget is spent.
    /// - Returns: whether anything was charged.
    @discardableResult
    public func charge(_ cost: Int64, to key: String) -> Bool {
        store.applyNow(.debit(Charge(limit.numbers, key: store.keyHasher.key(key, seed: seed), cost: cost)))
    }

    /// Waits until a key has budget for `cost`, then spends it.
    ///
    /// Callers that wait for the same key proceed in the order in which they asked, whatever their costs;
    /// ``attempt(_:cost:)`` doesn't wait in line. With a leaky bucket, this returns at the request's slot. A permit of
    /// a concurrency limit must be given back with ``refund(_:)``; ``withPermit(_:cost:timeout:_:)`` does so for you.
    ///
    /// - Parameters:
    ///   - key: the key whose budget is spent.
    ///   - cost: 1 to 10^9. Smaller numbers count as 1.
    ///   - timeout: the longest time to wait in total; nil to wait as long as it takes.
    /// - Returns: the attempt that succeeded.
    /// - Throws: ``AcquireError`` when the cost can never pass or can't pass in time; `CancellationError` when the task
    ///   is cancelled. Anything spent by then is given back.
    @discardableResult
    public func acquire(_ key: String, cost: Int64 = 1, timeout: Duration? = nil) async throws -> Attempt {
        let cost = max(1, cost)
        return try await line.acquire(place(of: key), cost: cost, timeout: timeout) {
            attempt(key, cost: cost)
        } giveBack: {
            refund($0)
        }
    }

    /// Holds a permit of a concurrency limit while `body` runs. With any other limit, spends `cost` before `body` runs.
    ///
    /// - Parameters:
    ///   - key: the key whose permit is held.
    ///   - cost: the number of permits, 1 to 10^9.
    ///   - timeout: the longest time to wait for the permit; nil to wait as long as it takes.
    ///   - body: runs once with the permit held.
    /// - Throws: what ``acquire(_:cost:timeout:)`` or `body` throws.
    public func withPermit<Result>(
        _ key: String, cost: Int64 = 1, timeout: Duration? = nil, _ body: () async throws -> Result
    ) async throws -> Result {
        let cost = max(1, cost)
        return try await line.withPermit(place(of: key), cost: cost, timeout: timeout, body) {
            attempt(key, cost: cost)
        } giveBack: {
            refund($0)
        }
    }

    /// Forgets a key, which then has its full quota.
    ///
    /// - Returns: whether any of its quota was used.
    @discardableResult
    public func reset(_ key: String) -> Bool {
        let isReset = store.applyNow(.reset(limit.numbers, store.keyHasher.key(key, seed: seed)))
        if isReset { line.somethingWasFreed(place(of: key)) }
        return isReset
    }

    private func place(of key: String) -> UInt64 { store.keyHasher.key(key, seed: seed).low }
}
