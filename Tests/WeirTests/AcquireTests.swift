import Synchronization
import Testing
import Weir
import WeirTesting

@Suite("Waiting for a limit")
struct AcquireTests {
    let clock = ManualClock()

    /// What tasks tell the test.
    private final class Notes: Sendable {
        let order = Mutex<[Int]>([])
        private let held = Atomic(0)
        private let mostHeld = Atomic(0)

        var most: Int { mostHeld.load(ordering: .sequentiallyConsistent) }

        func hold(_ count: Int) async {
            let now = held.wrappingAdd(count, ordering: .sequentiallyConsistent).newValue
            mostHeld.max(now, ordering: .sequentiallyConsistent)
            await Task.yield()
            held.wrappingSubtract(count, ordering: .sequentiallyConsistent)
        }
    }

    private func limiter(_ limit: Limit) -> Limiter { Limiter(limit, store: MemoryStore(clock: clock)) }

    /// Lets the others run until a condition holds.
    private func until(_ condition: () -> Bool) async throws {
        for _ in 0..<1_000_000 {
            if condition() { return }
            await Task.yield()
        }
        Issue.record("it never came")
    }

    @Test("what is there is had at once; the rest waits exactly as long as it must")
    func waits() async throws {
        let limiter = limiter(try Limit("a", .perSecond(2)))
        try await limiter.acquire("k")
        try await limiter.acquire("k")
        let third = Task { try await limiter.acquire("k") }
        try await until { clock.waiting == 1 }
        clock.advance(by: .microseconds(499999))
        #expect(clock.waiting == 1)
        clock.advance(by: .microseconds(1))
        #expect(try await third.value.isAllowed)
        #expect(try await limiter.acquire("other").isAllowed, "another key doesn't wait")
    }

    @Test("who came first goes first, whatever it costs")
    func isFair() async throws {
        let limiter = limiter(try Limit("a", .perSecond(10)))
        try await limiter.acquire("k", cost: 10)
        let notes = Notes()
        var tasks: [Task<Void, any Error>] = []
        for (number, cost) in [(1, Int64(10)), (2, 1), (3, 5), (4, 1)] {
            tasks.append(
                Task {
                    try await limiter.acquire("k", cost: cost)
                    notes.order.withLock { $0.append(number) }
                })
            if number == 1 { try await until { clock.waiting == 1 } }
            for _ in 0..<10_000 { await Task.yield() }
        }
        while notes.order.withLock({ $0.count }) < 4 {
            if clock.waiting == 1 { clock.advance(by: .seconds(1)) }
            await Task.yield()
        }
        for task in tasks { try await task.value }
        #expect(notes.order.withLock { $0 } == [1, 2, 3, 4])
    }

    @Test("who is cancelled spends nothing, and the next goes on")
    func cancelled() async throws {
        let limiter = limiter(try Limit("a", .perSecond(1)))
        try await limiter.acquire("k")
        let first = Task { try await limiter.acquire("k") }
        try await until { clock.waiting == 1 }
        let second = Task { try await limiter.acquire("k") }
        let third = Task { try await limiter.acquire("k") }
        for _ in 0..<1000 { await Task.yield() }
        first.cancel()
        second.cancel()
        await #expect(throws: CancellationError.self) { try await first.value }
        await #expect(throws: CancellationError.self) { try await second.value }
        try await until { clock.waiting == 1 }
        clock.advance(by: .seconds(1))
        #expect(try await third.value.isAllowed)
        #expect(limiter.peek("k").remaining == 0)
    }

    @Test("what can never pass, or not in time, is an error that says so")
    func errors() async throws {
        let limiter = limiter(try Limit("a", .perMinute(2)))
        let impossible = await #expect(throws: AcquireError.self) { try await limiter.acquire("k", cost: 3) }
        #expect(
            impossible?.code == .costExceedsCapacity
                && impossible?.description.contains("above its capacity of 2") == true)
        try await limiter.acquire("k", cost: 2)
        let late = await #expect(throws: AcquireError.self) {
            try await limiter.acquire("k", timeout: .microseconds(29999999))
        }
        #expect(late?.code == .timedOut)
        let inTime = Task { try await limiter.acquire("k", timeout: .seconds(30)) }
        try await until { clock.waiting == 1 }
        clock.advance(by: .seconds(30))
        #expect(try await inTime.value.isAllowed)
    }

    @Test("the time to wait holds in line too, and for a leaky bucket's slot")
    func withinInLine() async throws {
        let limiter = limiter(try Limit("a", .perSecond(1)))
        try await limiter.acquire("k")
        let first = Task { try await limiter.acquire("k") }
        try await until { clock.waiting == 1 }
        // It stands behind the first, and would have its turn after a second, and its unit after two.
        let inLine = Task { try await limiter.acquire("k", timeout: .milliseconds(900)) }
        let atTurn = Task { try await limiter.acquire("k", timeout: .milliseconds(1500)) }
        try await until { clock.waiting == 3 }
        clock.advance(by: .milliseconds(900))
        #expect(await #expect(throws: AcquireError.self) { try await inLine.value }?.code == .timedOut)
        clock.advance(by: .milliseconds(100))
        #expect(try await first.value.isAllowed)
        #expect(await #expect(throws: AcquireError.self) { try await atTurn.value }?.code == .timedOut)
        clock.advance(by: .seconds(1))
        #expect(
            try await limiter.acquire("k", timeout: .zero).isAllowed, "who gave up has spent nothing, and holds no turn"
        )

        let leaky = self.limiter(try Limit("b", .perSecond(1), algorithm: .leakyBucket, maxWait: .seconds(10)))
        try await leaky.acquire("k")
        let slot = await #expect(throws: AcquireError.self) {
            try await leaky.acquire("k", timeout: .microseconds(999999))
        }
        #expect(slot?.code == .timedOut)
        let next = Task { try await leaky.acquire("k", timeout: .seconds(1)) }
        try await until { clock.waiting == 1 }
        clock.advance(by: .seconds(1))
        #expect(try await next.value.delay == .seconds(1), "the slot that was too late was given back")
    }

    @Test("who waits in line for so long at most and is cancelled holds no turn")
    func cancelledInLine() async throws {
        let limiter = limiter(try Limit("a", .perSecond(1)))
        try await limiter.acquire("k")
        let first = Task { try await limiter.acquire("k") }
        try await until { clock.waiting == 1 }
        let second = Task { try await limiter.acquire("k", timeout: .seconds(60)) }
        try await until { clock.waiting == 2 }
        second.cancel()
        await #expect(throws: CancellationError.self) { try await second.value }
        let third = Task { try await limiter.acquire("k", timeout: .seconds(60)) }
        try await until { clock.waiting == 2 }
        clock.advance(by: .seconds(1))
        #expect(try await first.value.isAllowed)
        clock.advance(by: .seconds(1))
        #expect(try await third.value.isAllowed)
    }

    @Test("a leaky bucket returns at the slot, and a slot that nobody takes is given back")
    func leaky() async throws {
        let limiter = limiter(try Limit("a", .perSecond(1), algorithm: .leakyBucket, maxWait: .seconds(10)))
        try await limiter.acquire("k")
        let second = Task { try await limiter.acquire("k") }
        try await until { clock.waiting == 1 }
        second.cancel()
        await #expect(throws: CancellationError.self) { try await second.value }
        let third = Task { try await limiter.acquire("k") }
        try await until { clock.waiting == 1 }
        clock.advance(by: .seconds(1))
        #expect(try await third.value.delay == .seconds(1))
    }

    @Test("permits: never more than n, each waits for one that is given back, also by a body that throws")
    func permits() async throws {
        let limiter = limiter(try Limit("a", concurrency: 2))
        let notes = Notes()
        struct Broken: Error {}
        try await withThrowingTaskGroup(of: Void.self) { group in
            for number in 0..<200 {
                group.addTask {
                    do {
                        try await limiter.withPermit("k") {
                            await notes.hold(1)
                            if number.isMultiple(of: 7) { throw Broken() }
                        }
                    } catch is Broken {}
                }
            }
            try await group.waitForAll()
        }
        #expect(notes.most == 2)
        let first = try await limiter.acquire("k", cost: 2)
        let late = Task { try await limiter.acquire("k", timeout: .seconds(1)) }
        try await until { clock.waiting == 1 }
        clock.advance(by: .seconds(1))
        await #expect(throws: AcquireError.self) { try await late.value }
        limiter.refund(try #require(first.receipt))
        #expect(try await limiter.acquire("k").isAllowed)
    }

    @Test("who waits for the limit hears of what is given back, and of a reset")
    func hearsOfMore() async throws {
        let limiter = limiter(try Limit("a", .perHour(1)))
        let first = try await limiter.acquire("k")
        let second = Task { try await limiter.acquire("k") }
        try await until { clock.waiting == 1 }
        limiter.refund(try #require(first.receipt))
        #expect(try await second.value.isAllowed)
        let third = Task { try await limiter.acquire("k") }
        try await until { clock.waiting == 1 }
        limiter.reset("k")
        #expect(try await third.value.isAllowed)
        try await until { clock.waiting == 0 }
    }

    @Test("in a store that answers later, who is cancelled meanwhile gives back what was spent, and the next goes on")
    func cancelledWhileAsking() async throws {
        let slow = SlowStore(before: MemoryStore(clock: clock))
        let limiter = SharedLimiter(try Limit("a", .perMinute(1)), store: slow, clock: clock)
        let first = Task { try await limiter.acquire("k") }
        try await until { slow.waitingCount == 1 }
        let second = Task { try await limiter.acquire("k") }
        first.cancel()
        slow.release()
        await #expect(throws: CancellationError.self) { try await first.value }
        // The refund, before the second is decided.
        try await until { slow.waitingCount == 2 }
        slow.release()
        #expect(try await second.value.remaining == 0)
    }

    @Test("a store that fails is an error, and whoever waits behind goes on")
    func storeFails() async throws {
        let slow = SlowStore(before: MemoryStore(clock: clock))
        let limiter = SharedLimiter(try Limit("a", concurrency: 1), store: slow, clock: clock)
        let first = Task { try await limiter.acquire("k") }
        try await until { slow.waitingCount == 1 }
        slow.fail()
        await #expect(throws: StoreError.self) { try await first.value }
        let second = Task { try await limiter.withPermit("k") { "done" } }
        try await until { slow.waitingCount == 1 }
        slow.release()
        #expect(try await second.value == "done")
        try await until { slow.waitingCount == 1 }
        slow.release()
        let third = Task { try await limiter.acquire("k") }
        try await until { slow.waitingCount == 1 }
        slow.release()
        #expect(try await third.value.isAllowed, "the permit was given back")
    }

    @Test("waiters that come and go at random are never lost, and never admit more than the limit")
    func random() async throws {
        let limiter = Limiter(try Limit("a", concurrency: 3))
        let notes = Notes()
        await withTaskGroup(of: Void.self) { group in
            for number in 0..<300 {
                group.addTask {
                    let task = Task {
                        try await limiter.withPermit("k", cost: Int64(1 + number % 3)) {
                            await notes.hold(1 + number % 3)
                        }
                    }
                    if number.isMultiple(of: 5) {
                        await Task.yield()
                        task.cancel()
                    }
                    _ = await task.result
                }
            }
        }
        #expect(notes.most <= 3)
        #expect(limiter.peek("k").remaining == 3)
    }
}
