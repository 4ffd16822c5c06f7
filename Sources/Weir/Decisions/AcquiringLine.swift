/// The waits of acquiring: in line for the key, then for the limit, then for a leaky bucket's slot.
///
/// The caller supplies the attempt and the refund, which may be immediate or take a round trip to a server.
struct AcquiringLine: Sendable {
    private let limit: Limit
    private let clock: any TickClock
    private let queues = WaitingQueues()

    init(_ limit: Limit, clock: any TickClock) {
        self.limit = limit
        self.clock = clock
    }

    /// Lets the task whose turn it is ask again.
    func somethingWasFreed(_ key: UInt64) { queues.somethingWasFreed(key) }

    /// - Parameters:
    ///   - key: the key's hash.
    ///   - attempt: spends the cost if the limit allows it.
    ///   - giveBack: refunds what an attempt spent.
    func acquire(
        _ key: UInt64, cost: Int64, timeout: Duration?, attempt: () async throws -> Attempt,
        giveBack: (Attempt.Receipt) -> Void
    ) async throws -> Attempt {
        let start = clock.timestamp
        let longest = timeout.map { Timestamp(clamping: $0.ticks) }
        func left() -> Timestamp? { longest.map { $0 - max(0, clock.timestamp - start) } }
        let success = try await takeTurn(key, cost, left, attempt)
        do {
            // Asking a server takes time; the task may have been cancelled meanwhile.
            try Task.checkCancellation()
            guard success.delay > .zero else { return success }
            if let left = left(), success.decision.delayTicks > left {
                throw AcquireError(.timedOut, "limit \(limit.name): the next slot, in \(success.delay), is too late")
            }
            try await clock.sleep(for: success.delay)
        } catch {
            if let receipt = success.receipt { giveBack(receipt) }
            throw error
        }
        return success
    }

    func withPermit<Result>(
        _ key: UInt64, cost: Int64, timeout: Duration?, _ body: () async throws -> Result,
        attempt: () async throws -> Attempt, giveBack: (Attempt.Receipt) -> Void
    ) async throws -> Result {
        let success = try await acquire(key, cost: cost, timeout: timeout, attempt: attempt, giveBack: giveBack)
        defer {
            if limit.algorithm.kind.holdsPermits, let receipt = success.receipt { giveBack(receipt) }
        }
        return try await body()
    }

    /// Waits for the key's turn, for at most `longest` microseconds.
    private func enter(_ key: UInt64, within longest: Timestamp?) async throws {
        if queues.enterAtOnce(key) { return }
        guard let longest else { return try await queues.enter(key) }
        let isLate = AcquireError(.timedOut, "limit \(limit.name): the wait in line took too long")
        guard longest > 0 else { throw isLate }
        try await withThrowingTaskGroup(of: Bool.self) { group in
            group.addTask {
                try await queues.enter(key)
                return true
            }
            group.addTask {
                try await clock.sleep(ticks: longest)
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
        _ key: UInt64, _ cost: Int64, _ remaining: () -> Timestamp?, _ attempt: () async throws -> Attempt
    ) async throws -> Attempt {
        try await enter(key, within: remaining())
        defer { queues.leave(key) }
        while true {
            try Task.checkCancellation()
            let freed = queues.freed(key)
            let result = try await attempt()
            if result.isAllowed { return result }
            guard cost <= limit.numbers.capacity else {
                throw AcquireError(
                    .costExceedsCapacity,
                    "limit \(limit.name): a cost of \(cost) is above its capacity of \(limit.numbers.capacity)")
            }
            let left = remaining()
            if !limit.algorithm.kind.holdsPermits, let wait = result.decision.retryTicks {
                if let left, wait > Ticks(left) {
                    throw AcquireError(
                        .timedOut, "limit \(limit.name): the wait of \(Duration(ticks: wait)) is too long")
                }
                try await self.wait(Timestamp(clamping: wait), orUntilFreed: key, since: freed)
            } else {
                if let left, left <= 0 {
                    throw AcquireError(.timedOut, "limit \(limit.name): no permit became free in time")
                }
                // Other processes may share the store, and their refunds are not announced here.
                try await self.wait(min(left ?? 1_000_000, 1_000_000), orUntilFreed: key, since: freed)
            }
        }
    }

    /// Waits for `ticks` microseconds, or until a charge of the key is given back here.
    private func wait(_ ticks: Timestamp, orUntilFreed key: UInt64, since freed: UInt64) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await queues.waitUntilFreed(key, since: freed) }
            group.addTask { try await clock.sleep(ticks: ticks) }
            defer { group.cancelAll() }
            try await group.next()
        }
    }
}
