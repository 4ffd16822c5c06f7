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
    private let queues = WaitingQueues()

    /// - Parameters:
    ///   - limit: what to hold each key to.
    ///   - store: where to count; a new one unless given.
    public init(_ limit: Limit, store: MemoryStore = MemoryStore()) {
        self.limit = limit
        self.store = store
        seed = store.keyHasher.seed(for: limit.identity)
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
        if isRefunded { queues.somethingWasFreed(key) }
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
        let cost = max(1, cost)
        let start = store.now()
        func left() -> Timestamp? { longest.map { $0 - max(0, store.now() - start) } }
        let decision = try await takeTurn(key, cost, left)
        guard decision.delay > 0 else { return decision }
        do {
            if let left = left(), decision.delay > left {
                throw AcquireError(.late, "limit \(limit.name): the slot in \(decision.delay) microseconds is too late")
            }
            try await store.clock.wait(decision.delay)
        } catch {
            if let receipt = decision.receipt { refund(receipt, key, cost: cost) }
            throw error
        }
        return decision
    }

    /// Waits in line, so long at most.
    private func enter(_ key: String, within longest: Timestamp?) async throws {
        if queues.enterAtOnce(key) { return }
        guard let longest else { return try await queues.enter(key) }
        let isLate = AcquireError(.late, "limit \(limit.name): others were in line for too long")
        guard longest > 0 else { throw isLate }
        try await withThrowingTaskGroup(of: Bool.self) { group in
            group.addTask {
                try await queues.enter(key)
                return true
            }
            group.addTask {
                try await store.clock.wait(longest)
                return false
            }
            // Both are heard, for the turn may come just when the time is over, or the task is cancelled.
            var hasTurn = false
            var failure: (any Error)?
            while let result = await group.nextResult() {
                group.cancelAll()
                switch result {
                case .success(true): hasTurn = true
                case .success(false): failure = failure ?? isLate
                case .failure(let error): failure = failure ?? error
                }
            }
            if !hasTurn, let failure { throw failure }
        }
    }

    private func takeTurn(_ key: String, _ cost: Int64, _ remaining: () -> Timestamp?) async throws -> Decision {
        try await enter(key, within: remaining())
        defer { queues.leave(key) }
        while true {
            try Task.checkCancellation()
            let freed = queues.freed(key)
            let decision = decide(key, cost: cost)
            if decision.allowed { return decision }
            guard cost <= limit.numbers.capacity else {
                throw AcquireError(
                    .impossible,
                    "limit \(limit.name): a cost of \(cost) is above its capacity of \(limit.numbers.capacity)")
            }
            let left = remaining()
            guard let wait = decision.retryAfter else {
                // Only concurrency: somebody must give a permit back.
                try await waitForPermit(key, since: freed, left)
                continue
            }
            if let left, wait > Ticks(left) {
                throw AcquireError(.late, "limit \(limit.name): the wait of \(wait) microseconds is too long")
            }
            try await store.clock.wait(Timestamp(clamping: wait))
        }
    }

    /// Waits until a permit may be free: one was given back here, or a second has passed, for others may use the store too.
    private func waitForPermit(_ key: String, since freed: UInt64, _ left: Timestamp?) async throws {
        if let left, left <= 0 {
            throw AcquireError(.late, "limit \(limit.name): no permit was given back in time")
        }
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await queues.waitUntilFreed(key, since: freed) }
            group.addTask { try await store.clock.wait(min(left ?? 1_000_000, 1_000_000)) }
            defer { group.cancelAll() }
            try await group.next()
        }
    }

    /// Holds a permit of a concurrency limit while `body` runs, or spends a cost of any other before it.
    ///
    /// - Throws: as ``acquire(_:cost:within:)`` does, or what `body` throws.
    public func withPermit<Result>(
        _ key: String, cost: Int64 = 1, within longest: Timestamp? = nil, _ body: () async throws -> Result
    ) async throws -> Result {
        let cost = max(1, cost)
        let decision = try await acquire(key, cost: cost, within: longest)
        defer {
            if limit.algorithm == .concurrency, let receipt = decision.receipt { refund(receipt, key, cost: cost) }
        }
        return try await body()
    }

    private func charge(_ key: String, _ cost: Int64) -> Charge {
        Charge(limit.numbers, key: store.keyHasher.key(key, seed: seed), cost: cost)
    }

    /// Forgets a key.
    @discardableResult
    public func reset(_ key: String) -> Bool {
        let isReset = store.applyNow(.reset(limit.numbers, store.keyHasher.key(key, seed: seed)))
        if isReset { queues.somethingWasFreed(key) }
        return isReset
    }
}

/// Why nothing was acquired.
public struct AcquireError: Error, Sendable, Hashable, CustomStringConvertible {
    public struct Code: Sendable, Hashable {
        private let isLate: Bool

        /// The cost is above the limit's capacity: waiting can't help.
        public static let impossible = Code(isLate: false)
        /// It would not pass in time.
        public static let late = Code(isLate: true)
    }

    public let code: Code
    public let description: String

    init(_ code: Code, _ description: String) {
        self.code = code
        self.description = description
    }
}

extension Rate {
    /// `count` units a second, with a burst of as many.
    public static func perSecond(_ count: Int64) throws(LimitError) -> Rate { try Rate(count, per: 1_000_000) }
    /// `count` units a minute, with a burst of as many.
    public static func perMinute(_ count: Int64) throws(LimitError) -> Rate { try Rate(count, per: 60_000_000) }
    /// `count` units an hour, with a burst of as many.
    public static func perHour(_ count: Int64) throws(LimitError) -> Rate { try Rate(count, per: 3_600_000_000) }
}
