/// One limit over any number of keys, shared by several processes through a store: calls to a third-party API, jobs of
/// many workers.
///
/// ```swift
/// let limiter = SharedLimiter(try Limit("geocoder", .perSecond(50)), store: redis)
/// try await limiter.acquire("account")              // waits for its turn
/// ```
///
/// Within one process, use ``Limiter``, which answers synchronously.
public struct SharedLimiter: Sendable {
    /// The limit that each key is held to.
    public let limit: Limit
    /// The store that counts.
    public let store: any Store
    private let line: AcquiringLine

    /// Creates a limiter over a shared store.
    ///
    /// - Parameters:
    ///   - limit: the limit that each key is held to. Processes share a count if the name, algorithm and period are the
    ///     same.
    ///   - store: the store that counts.
    ///   - clock: measures waits; the system's clock by default. The store decides by its own clock.
    public init(_ limit: Limit, store: any Store, clock: any TickClock = SystemClock()) {
        self.limit = limit
        self.store = store
        line = AcquiringLine(limit, clock: clock)
    }

    /// Decides as soon as the store answers.
    ///
    /// - Parameters:
    ///   - key: the key whose budget is spent.
    ///   - cost: 0 to 10^9; 0 is a peek, which changes nothing.
    /// - Throws: ``StoreError`` when the store doesn't answer by its deadline. The caller chooses whether to proceed.
    public func decide(_ key: String, cost: Int64 = 1) async throws(StoreError) -> Decision {
        var decisions: [Decision] = []
        if let pending = store.decide([charge(key, cost)], into: &decisions) {
            decisions = try await pending.value.get()
        }
        guard let decision = decisions.first else { throw StoreError(.refused, "the store returned no decision") }
        return decision
    }

    /// Gives back what a decision charged: once, never above the capacity, and not after a reset or the window's end.
    /// For a concurrency limit it frees the permit.
    ///
    /// - Parameters:
    ///   - receipt: the decision's receipt.
    ///   - key: the decision's key.
    ///   - cost: the decision's cost.
    /// - Returns: whether anything was given back.
    /// - Throws: ``StoreError`` when the store doesn't answer by its deadline. A permit is then freed when its lease
    ///   ends.
    @discardableResult
    public func refund(_ receipt: Receipt, _ key: String, cost: Int64 = 1) async throws(StoreError) -> Bool {
        let isRefunded = try await store.apply(.refund(charge(key, cost), receipt)).value
        if isRefunded { line.somethingWasFreed(key) }
        return isRefunded
    }

    /// Charges after the fact, into debt of at most one capacity.
    ///
    /// - Returns: whether anything was charged.
    /// - Throws: ``StoreError`` when the store doesn't answer by its deadline.
    @discardableResult
    public func debit(_ key: String, cost: Int64) async throws(StoreError) -> Bool {
        try await store.apply(.debit(charge(key, cost))).value
    }

    /// Forgets a key, which then has its full quota.
    ///
    /// - Returns: whether any of its quota was used.
    /// - Throws: ``StoreError`` when the store doesn't answer by its deadline.
    @discardableResult
    public func reset(_ key: String) async throws(StoreError) -> Bool {
        let isReset = try await store.apply(.reset(limit.numbers, charge(key, 1).key)).value
        if isReset { line.somethingWasFreed(key) }
        return isReset
    }

    /// Waits until `key` has budget for `cost`, then spends it.
    ///
    /// Within one process, callers that wait for the same key proceed in the order in which they asked, whatever their
    /// costs. Between processes, the first to ask once there is budget gets it. With a leaky bucket, this returns at
    /// the request's slot. A permit of a concurrency limit must be given back with ``refund(_:_:cost:)``;
    /// ``withPermit(_:cost:within:_:)`` does so for you. A permit that a different process gives back is noticed within
    /// a second.
    ///
    /// - Parameters:
    ///   - key: the key whose budget is spent.
    ///   - cost: 1 to 10^9.
    ///   - longest: the longest time to wait in total, in microseconds; nil to wait as long as it takes.
    /// - Returns: the decision that allowed it.
    /// - Throws: ``AcquireError`` when the cost can never pass or can't pass in time; ``StoreError`` when the store
    ///   doesn't answer by its deadline; `CancellationError` when the task is cancelled, after giving back what was
    ///   spent.
    @discardableResult
    public func acquire(_ key: String, cost: Int64 = 1, within longest: Timestamp? = nil) async throws -> Decision {
        try await line.acquire(key, cost: cost, within: longest) {
            try await decide(key, cost: $0)
        } giveBack: {
            giveBack($0, key, cost: $1)
        }
    }

    /// Holds a permit of a concurrency limit while `body` runs. With any other limit, spends `cost` before `body` runs.
    ///
    /// - Throws: what ``acquire(_:cost:within:)`` or `body` throws.
    public func withPermit<Result>(
        _ key: String, cost: Int64 = 1, within longest: Timestamp? = nil, _ body: () async throws -> Result
    ) async throws -> Result {
        try await line.withPermit(key, cost: cost, within: longest, body) {
            try await decide(key, cost: $0)
        } giveBack: {
            giveBack($0, key, cost: $1)
        }
    }

    /// Gives a charge back without waiting for the store's answer.
    private func giveBack(_ receipt: Receipt, _ key: String, cost: Int64) {
        switch store.apply(.refund(charge(key, cost), receipt)) {
        case .decided: line.somethingWasFreed(key)
        case .pending(let answer): answer.whenComplete { _ in line.somethingWasFreed(key) }
        }
    }

    /// Makes the key on each call: the store may have learned its secret since the last one.
    private func charge(_ key: String, _ cost: Int64) -> Charge {
        let hasher = store.keyHasher
        return Charge(limit.numbers, key: hasher.key(key, seed: hasher.seed(for: limit.identity)), cost: cost)
    }
}
