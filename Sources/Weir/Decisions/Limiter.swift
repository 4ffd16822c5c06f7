/// One limit over any number of keys, for whatever needs limiting: outgoing calls, jobs, a command.
///
/// ```swift
/// let limiter = try Limiter(Limit("mail", .perMinute(20)))
/// if limiter.decide("alice").allowed { … }
/// ```
public struct Limiter: Sendable {
    public let limit: Limit
    public let store: MemoryStore
    private let seed: UInt64

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
        store.applyNow(.refund(charge(key, cost), receipt))
    }

    /// Charges after the fact, into debt of at most one capacity.
    @discardableResult
    public func debit(_ key: String, cost: Int64) -> Bool {
        store.applyNow(.debit(charge(key, cost)))
    }

    private func charge(_ key: String, _ cost: Int64) -> Charge {
        Charge(limit.numbers, key: store.keyHasher.key(key, seed: seed), cost: cost)
    }

    /// Forgets a key.
    @discardableResult
    public func reset(_ key: String) -> Bool {
        store.applyNow(.reset(limit.numbers, store.keyHasher.key(key, seed: seed)))
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
