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
    private let prefetches: Bool
    private let line: AcquiringLine
    /// Makes the keys of the line of those that wait here. The store's own change when it learns its secret.
    private let places = KeyHasher()

    /// Creates a limiter over a shared store.
    ///
    /// - Parameters:
    ///   - limit: the limit that each key is held to. Processes share a count if the name, algorithm and period are the
    ///     same.
    ///   - store: the store that counts.
    ///   - prefetches: whether this process may prefetch units and spend them without asking the store, as with `sync:
    ///     leased` in a policy. For token buckets, fixed and sliding windows; ignored for other algorithms.
    ///   - clock: measures waits; the system's clock by default. The store decides by its own clock.
    public init(_ limit: Limit, store: any Store, prefetches: Bool = false, clock: any TickClock = SystemClock()) {
        self.limit = limit
        self.store = store
        self.prefetches = prefetches
        line = AcquiringLine(limit, clock: clock)
    }

    /// Spends a key's budget if it has enough, and answers as soon as the store does.
    ///
    /// - Parameters:
    ///   - key: the key whose budget is spent.
    ///   - cost: 1 to 10^9. Smaller numbers count as 1, so that a computed cost of 0 is no free pass.
    /// - Throws: ``StoreError`` when the store doesn't answer by its deadline. The caller chooses whether to proceed.
    public func attempt(_ key: String, cost: Int64 = 1) async throws(StoreError) -> Attempt {
        let charge = charge(key, cost: max(1, cost))
        return Attempt(try await decide(charge), key: charge.key, cost: charge.cost, line: place(of: key))
    }

    /// Looks at a key's budget without spending any of it.
    ///
    /// - Parameters:
    ///   - key: the key to look at.
    ///   - cost: the cost to decide about, 1 to 10^9.
    /// - Returns: the decision that ``attempt(_:cost:)`` would make now.
    /// - Throws: ``StoreError`` when the store doesn't answer by its deadline.
    public func peek(_ key: String, cost: Int64 = 1) async throws(StoreError) -> Decision {
        try await decide(charge(key, cost: 0, required: max(1, cost)))
    }

    /// The question that ``attempt(_:cost:)`` asks. To decide several limits together, all or nothing, ask the store
    /// all their questions at once, with ``Store/decide(_:)``.
    ///
    /// - Parameters:
    ///   - key: the key whose budget is spent.
    ///   - cost: 1 to 10^9. Smaller numbers count as 1.
    public func question(_ key: String, cost: Int64 = 1) -> Charge { charge(key, cost: max(1, cost)) }

    /// Gives back what an attempt spent: once, within an hour, never above the capacity, and not after a reset or the
    /// window's end. For a concurrency limit it frees the permit.
    ///
    /// - Parameter receipt: the attempt's receipt.
    /// - Returns: whether anything was given back.
    /// - Throws: ``StoreError`` when the store doesn't answer by its deadline. A permit is then freed when its lease
    ///   ends.
    @discardableResult
    public func refund(_ receipt: Attempt.Receipt) async throws(StoreError) -> Bool {
        let isRefunded = try await store.apply(refund(of: receipt)).value
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
    /// - Throws: ``StoreError`` when the store doesn't answer by its deadline.
    @discardableResult
    public func charge(_ cost: Int64, to key: String) async throws(StoreError) -> Bool {
        try await store.apply(.debit(charge(key, cost: cost))).value
    }

    /// Forgets a key, which then has its full quota.
    ///
    /// - Returns: whether any of its quota was used.
    /// - Throws: ``StoreError`` when the store doesn't answer by its deadline.
    @discardableResult
    public func reset(_ key: String) async throws(StoreError) -> Bool {
        let isReset = try await store.apply(.reset(limit.numbers, charge(key, cost: 1).key)).value
        if isReset { line.somethingWasFreed(place(of: key)) }
        return isReset
    }

    /// Waits until a key has budget for `cost`, then spends it.
    ///
    /// Within one process, callers that wait for the same key proceed in the order in which they asked, whatever their
    /// costs. Between processes, the first to ask once there is budget gets it. With a leaky bucket, this returns at
    /// the request's slot. A permit of a concurrency limit must be given back with ``refund(_:)``;
    /// ``withPermit(_:cost:timeout:_:)`` does so for you. A permit that a different process gives back is noticed
    /// within a second.
    ///
    /// - Parameters:
    ///   - key: the key whose budget is spent.
    ///   - cost: 1 to 10^9. Smaller numbers count as 1.
    ///   - timeout: the longest time to wait in total; nil to wait as long as it takes.
    /// - Returns: the attempt that succeeded.
    /// - Throws: ``AcquireError`` when the cost can never pass or can't pass in time; ``StoreError`` when the store
    ///   doesn't answer by its deadline; `CancellationError` when the task is cancelled, after giving back what was
    ///   spent.
    @discardableResult
    public func acquire(_ key: String, cost: Int64 = 1, timeout: Duration? = nil) async throws -> Attempt {
        let cost = max(1, cost)
        return try await line.acquire(place(of: key), cost: cost, timeout: timeout) {
            try await attempt(key, cost: cost)
        } giveBack: {
            giveBack($0)
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
            try await attempt(key, cost: cost)
        } giveBack: {
            giveBack($0)
        }
    }

    private func decide(_ charge: Charge) async throws(StoreError) -> Decision {
        let decisions = try await store.decide([charge])
        guard let decision = decisions.first else { throw StoreError(.rejected, "the store returned no decision") }
        return decision
    }

    /// Gives a charge back without waiting for the store's answer.
    private func giveBack(_ receipt: Attempt.Receipt) {
        switch store.apply(refund(of: receipt)).kind {
        case .decided: line.somethingWasFreed(receipt.line)
        case .pending(let answer): answer.whenComplete { _ in line.somethingWasFreed(receipt.line) }
        }
    }

    private func refund(of receipt: Attempt.Receipt) -> Adjustment {
        .refund(Charge(limit.numbers, key: receipt.key, cost: receipt.cost), receipt.charge)
    }

    private func place(of key: String) -> UInt64 { places.key(key, seed: 0).low }

    /// Makes the key on each call: the store may have learned its secret since the last one.
    private func charge(_ key: String, cost: Int64, required: Int64 = 0) -> Charge {
        let hasher = store.keyHasher
        return Charge(
            limit.numbers, key: hasher.key(key, seed: hasher.seed(for: limit.identity)), cost: cost,
            required: required, isLeased: prefetches)
    }
}
