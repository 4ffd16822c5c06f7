import Hummingbird
import ServiceLifecycle
import Synchronization
import TestSupport
import Testing
import Weir
import WeirHTTP
import WeirHummingbird
import WeirTesting

/// A store whose secret for keys changes, as a shared one's does when it is reached at last.
private final class LateStore: Store {
    private let memory = MemoryStore(clock: ManualClock())
    private let hasher = Mutex(KeyHasher(sharedSecret: 1, 2))

    var keyHasher: KeyHasher { hasher.withLock { $0 } }

    func reach() { hasher.withLock { $0 = KeyHasher(sharedSecret: 3, 4) } }

    func decide(_ charges: [Charge], into decisions: inout [Decision]) -> PendingAnswer<DecisionResult>? {
        memory.decide(charges, into: &decisions)
    }

    func apply(_ adjustment: Adjustment) -> StoreAnswer<Bool> { memory.apply(adjustment) }
}

extension InApp {
    @Suite("Beside the server", .serialized)
    struct ServiceTests {
        @Test("an app that started before its store was there shares its limits once it is")
        func lateStore() async throws {
            let store = LateStore()
            let policy = try Policy(yaml: "limits: [{name: a, rate: 2/hour, key: [global]}]")
            let router = Router(context: RemoteAddressContext.self)
            router.add(
                middleware: RateLimitMiddleware(
                    try RequestLimiter(policy: policy, store: store, clock: ManualClock())))
            router.get("/") { _, _ in "home" }
            try await withServer(router.buildResponder()) { (port: Int) async throws -> Void in
                #expect(try await exchangeApart(port, "GET", "/")["X-RateLimit-Remaining"] == "1")
                store.reach()
                #expect(try await exchangeApart(port, "GET", "/")["X-RateLimit-Remaining"] == "1")
                // An instance that started later has the same keys.
                let other = Router(context: RemoteAddressContext.self)
                other.add(
                    middleware: RateLimitMiddleware(
                        try RequestLimiter(policy: policy, store: store, clock: ManualClock())))
                other.get("/") { _, _ in "home" }
                try await withServer(other.buildResponder()) { (second: Int) async throws -> Void in
                    #expect(try await exchangeApart(second, "GET", "/")["X-RateLimit-Remaining"] == "0")
                }
                #expect(try await exchangeApart(port, "GET", "/").status == 429)
            }
        }

        @Test("the service ends the warm-up when the app is ready, and tells of the end")
        func service() async throws {
            let clock = ManualClock()
            let limiter = try RequestLimiter(
                policy: Policy(
                    yaml:
                        "limits: [{name: a, rate: 10/hour, warm_up: {factor: 0.2, until: {path: /ready}}}]"),
                clock: clock)
            let ready = SharedFlag()
            let over = SharedFlag()
            let service = RateLimitService(limiter, isReady: { ready.isSet }, onShutdown: { over.set() })
            let group = ServiceGroup(services: [service], logger: quiet)
            try await withThrowingTaskGroup(of: Void.self) { tasks in
                tasks.addTask { try await group.run() }
                try await clock.waitUntilWaiting(count: 2)
                #expect(limiter.readinessChecks.allSatisfy { !$0.warmUp.isFinished })
                ready.set()
                clock.advance(by: .milliseconds(250))
                try await until("the warm-up ends") { limiter.readinessChecks.allSatisfy { $0.warmUp.isFinished } }
                await group.triggerGracefulShutdown()
                try await tasks.waitForAll()
            }
            #expect(over.isSet)
        }

        private final class SharedFlag: Sendable {
            private let value = Atomic(false)
            var isSet: Bool { value.load(ordering: .sequentiallyConsistent) }
            func set() { value.store(true, ordering: .sequentiallyConsistent) }
        }
    }
}
