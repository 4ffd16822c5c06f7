/// The waits of acquiring: in line for the key, then for the limit, then for a leaky bucket's slot.
///
/// The caller supplies the decision and the refund, which may be immediate or take a round trip to a server.
struct AcquiringLine: Sendable {
    private let limit: Limit
    private let clock: any TickClock
    private let queues = WaitingQueues()

    init(_ limit: Limit, clock: any TickClock) {
        self.limit = limit
        self.clock = clock
    }

    /// Lets the task whose turn it is ask again.
    func somethingWasFreed(_ key: String) { queues.somethingWasFreed(key) }

    /// - Parameters:
    ///   - decide: decides on a cost.
    ///   - giveBack: refunds a decision's charge of a cost.
    func acquire(
        _ key: String, cost: Int64, within longest: Timestamp?, decide: (Int64) async throws -> Decision,
        giveBack: (Receipt, Int64) -> Void
    ) async throws -> Decision {
        let cost = max(1, cost)
        let start = clock.now()
        func left() -> Timestamp? { longest.map { $0 - max(0, clock.now() - start) } }
        let decision = try await takeTurn(key, cost, left, decide)
        do {
            // Asking a server takes time; the task may have been cancelled meanwhile.
            try Task.checkCancellation()
            guard decision.delay > 0 else { return decision }
            if let left = left(), decision.delay > left {
                throw AcquireError(
                    .late, "limit \(limit.name): the next slot, in \(decision.delay) microseconds, is too late")
            }
            try await clock.wait(decision.delay)
        } catch {
            if let receipt = decision.receipt { giveBack(receipt, cost) }
            throw error
        }
        return decision
    }

    func withPermit<Result>(
        _ key: String, cost: Int64, within longest: Timestamp?, _ body: () async throws -> Result,
        decide: (Int64) async throws -> Decision, giveBack: (Receipt, Int64) -> Void
    ) async throws -> Result {
        let decision = try await acquire(key, cost: cost, within: longest, decide: decide, giveBack: giveBack)
        defer {
            if limit.algorithm.kind.holdsPermits, let receipt = decision.receipt { giveBack(receipt, max(1, cost)) }
        }
        return try await body()
    }

    /// Waits for the key's turn, for at most `longest` microseconds.
    private func enter(_ key: String, within longest: Timestamp?) async throws {
        if queues.enterAtOnce(key) { return }
        guard let longest else { return try await queues.enter(key) }
        let isLate = AcquireError(.late, "limit \(limit.name): the wait in line took too long")
        guard longest > 0 else { throw isLate }
        try await withThrowingTaskGroup(of: Bool.self) { group in
            group.addTask {
                try await queues.enter(key)
                return true
            }
            group.addTask {
                try await clock.wait(longest)
                return false
            }
            // Wait for both children: the turn may come just as time runs out or the task is cancelled.
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

    private func takeTurn(
        _ key: String, _ cost: Int64, _ remaining: () -> Timestamp?, _ decide: (Int64) async throws -> Decision
    ) async throws -> Decision {
        try await enter(key, within: remaining())
        defer { queues.leave(key) }
        while true {
            try Task.checkCancellation()
            let freed = queues.freed(key)
            let decision = try await decide(cost)
            if decision.allowed { return decision }
            guard cost <= limit.numbers.capacity else {
                throw AcquireError(
                    .impossible,
                    "limit \(limit.name): a cost of \(cost) is above its capacity of \(limit.numbers.capacity)")
            }
            let left = remaining()
            if !limit.algorithm.kind.holdsPermits, let wait = decision.retryAfter {
                if let left, wait > Ticks(left) {
                    throw AcquireError(.late, "limit \(limit.name): the wait of \(wait) microseconds is too long")
                }
                try await self.wait(Timestamp(clamping: wait), orUntilFreed: key, since: freed)
            } else {
                if let left, left <= 0 {
                    throw AcquireError(.late, "limit \(limit.name): no permit became free in time")
                }
                // Other processes may share the store, and their refunds are not announced here.
                try await self.wait(min(left ?? 1_000_000, 1_000_000), orUntilFreed: key, since: freed)
            }
        }
    }

    /// Waits for `ticks` microseconds, or until a charge of the key is given back here.
    private func wait(_ ticks: Timestamp, orUntilFreed key: String, since freed: UInt64) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await queues.waitUntilFreed(key, since: freed) }
            group.addTask { try await clock.wait(ticks) }
            defer { group.cancelAll() }
            try await group.next()
        }
    }
}
