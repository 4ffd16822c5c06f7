/// One limit over any number of keys that several processes hold together, in a store that they share: calls to somebody
/// else's API, jobs of many workers.
///
/// ```swift
/// let limiter = SharedLimiter(try Limit("geocoder", .perSecond(50)), store: redis)
/// try await limiter.acquire("account")              // waits for its turn
/// ```
///
/// Whoever counts in one process alone has a ``Limiter``, which answers without waiting for anybody.
public struct SharedLimiter: Sendable {
    public let limit: Limit
    public let store: any Store
    private let line: AcquiringLine

    /// - Parameters:
    ///   - limit: what to hold each key to. Its name, algorithm and period are what processes share a count by.
    ///   - store: where to count.
    ///   - clock: waits by this; the system's unless given. The store decides by its own.
    public init(_ limit: Limit, store: any Store, clock: any TickClock = SystemClock()) {
        self.limit = limit
        self.store = store
        line = AcquiringLine(limit, clock: clock)
    }

    /// Decides as soon as the store answers.
    ///
    /// - Parameters:
    ///   - key: whose budget is spent.
    ///   - cost: 0 to 10^9; 0 is a peek.
    /// - Throws: ``StoreFailure`` when it gives no answer by its deadline. Whether to go on then is the caller's to say.
    public func decide(_ key: String, cost: Int64 = 1) async throws(StoreFailure) -> Decision {
        var decisions: [Decision] = []
        if let pending = store.decide([charge(key, cost)], into: &decisions) {
            decisions = try await pending.value.get()
        }
        guard let decision = decisions.first else { throw StoreFailure(.refused, "the store decided nothing") }
        return decision
    }

    /// Gives back what a decision about a key charged: once, never above capacity, nothing after a reset or the window's
    /// end. For concurrency it frees the permit.
    ///
    /// - Parameters:
    ///   - receipt: the decision's.
    ///   - key: the same as for the decision.
    ///   - cost: the same as for the decision.
    /// - Returns: whether anything was given back.
    /// - Throws: ``StoreFailure`` when the store doesn't answer by its deadline. A permit is free then when its lease ends.
    @discardableResult
    public func refund(_ receipt: Receipt, _ key: String, cost: Int64 = 1) async throws(StoreFailure) -> Bool {
        let isRefunded = try await store.apply(.refund(charge(key, cost), receipt)).value
        if isRefunded { line.somethingWasFreed(key) }
        return isRefunded
    }

    /// Charges after the fact, into debt of at most one capacity.
    ///
    /// - Throws: ``StoreFailure`` when the store doesn't answer by its deadline.
    @discardableResult
    public func debit(_ key: String, cost: Int64) async throws(StoreFailure) -> Bool {
        try await store.apply(.debit(charge(key, cost))).value
    }

    /// Forgets a key.
    ///
    /// - Throws: ``StoreFailure`` when the store doesn't answer by its deadline.
    @discardableResult
    public func reset(_ key: String) async throws(StoreFailure) -> Bool {
        let isReset = try await store.apply(.reset(limit.numbers, charge(key, 1).key)).value
        if isReset { line.somethingWasFreed(key) }
        return isReset
    }

    /// Waits until the limit lets a key spend, and spends it.
    ///
    /// Those of one process who wait for one key come in the order in which they asked, whatever their costs; between processes
    /// whoever asks first when there is something has it. With a leaky bucket it returns at the slot. A permit of a concurrency
    /// limit must be given back by ``refund(_:_:cost:)``, or taken by ``withPermit(_:cost:within:_:)``, which does; one that
    /// another process gives back is noticed within a second.
    ///
    /// - Parameters:
    ///   - key: whose budget is spent.
    ///   - cost: 1 to 10^9.
    ///   - longest: the most microseconds to wait, in line, for the limit and for a leaky bucket's slot together; nil for as
    ///     long as it takes.
    /// - Returns: the decision that allowed it.
    /// - Throws: ``AcquireError`` when it can never pass, or not in time; ``StoreFailure`` when the store gives no answer by its
    ///   deadline; `CancellationError` when the task is cancelled: what was spent is given back then.
    @discardableResult
    public func acquire(_ key: String, cost: Int64 = 1, within longest: Timestamp? = nil) async throws -> Decision {
        try await line.acquire(key, cost: cost, within: longest) {
            try await decide(key, cost: $0)
        } giveBack: {
            giveBack($0, key, cost: $1)
        }
    }

    /// Holds a permit of a concurrency limit while `body` runs, or spends a cost of any other before it.
    ///
    /// - Throws: as ``acquire(_:cost:within:)`` does, or what `body` throws.
    public func withPermit<Result>(
        _ key: String, cost: Int64 = 1, within longest: Timestamp? = nil, _ body: () async throws -> Result
    ) async throws -> Result {
        try await line.withPermit(key, cost: cost, within: longest, body) {
            try await decide(key, cost: $0)
        } giveBack: {
            giveBack($0, key, cost: $1)
        }
    }

    /// Gives back without waiting for the store to say so.
    private func giveBack(_ receipt: Receipt, _ key: String, cost: Int64) {
        switch store.apply(.refund(charge(key, cost), receipt)) {
        case .decided: line.somethingWasFreed(key)
        case .pending(let answer): answer.whenComplete { _ in line.somethingWasFreed(key) }
        }
    }

    /// By the secret that the store has now: it may not have been known before.
    private func charge(_ key: String, _ cost: Int64) -> Charge {
        let hasher = store.keyHasher
        return Charge(limit.numbers, key: hasher.key(key, seed: hasher.seed(for: limit.identity)), cost: cost)
    }
}
