import CoreMetrics
import HTTPTypes
import Hummingbird
import HummingbirdTesting
import InMemoryTracing
import Logging
import MetricsTestKit
import Synchronization
import Testing
import Tracing
import Weir
import WeirHTTP
import WeirHummingbird
import WeirTesting

/// A store that answers a moment later, as one on a server does, or fails.
private final class RemoteStore: Store {
    private let memory: MemoryStore
    private let failure: StoreError?

    init(clock: ManualClock, failure: StoreError? = nil) {
        memory = MemoryStore(clock: clock)
        self.failure = failure
    }

    var keyHasher: KeyHasher { memory.keyHasher }

    func decide(_ charges: [Charge], into decisions: inout [Decision]) -> PendingAnswer<DecisionResult>? {
        var made: [Decision] = []
        _ = memory.decide(charges, into: &made)
        let answer = PendingAnswer<DecisionResult>()
        let result: DecisionResult = failure.map { .failure($0) } ?? .success(made)
        Task { answer.complete(result) }
        return answer
    }

    func apply(_ adjustment: Adjustment) -> StoreAnswer<Bool> { memory.apply(adjustment) }
}

/// Keeps the lines of a logger.
private final class Lines: LogHandler, Sendable {
    private let lines = Mutex<[(message: String, metadata: Logger.Metadata)]>([])

    var all: [(message: String, metadata: Logger.Metadata)] { lines.withLock { $0 } }

    var metadata: Logger.Metadata {
        get { [:] }
        set {}
    }
    var logLevel: Logger.Level {
        get { .info }
        set {}
    }
    subscript(metadataKey _: String) -> Logger.Metadata.Value? {
        get { nil }
        set {}
    }

    func log(event: LogEvent) {
        lines.withLock { $0.append((event.message.description, event.metadata ?? [:])) }
    }
}

extension InApp {
    /// What an app learns through the libraries that it uses already.
    @Suite("An app sees its limits", .serialized)
    struct SeenTests {
        private static let policy = """
            exempt: [{path: /health}]
            access: [{match: {path: /closed}, deny: true}]
            limits:
              - {name: app, rate: 2/hour, match: {path: /a}}
              - {name: trial, rate: 1/hour, mode: shadow, match: {path: /a}}
              - {name: slow, rate: 1/second, algorithm: leaky-bucket, max_wait: 5s, match: {path: /slow}}
              - {name: tokens, rate: 9/hour, match: {path: /t}, cost: {response: {header: X-Cost}, default: 3}}
            """

        private func router(
            _ store: (any Store)? = nil, clock: ManualClock = ManualClock(), _ yaml: String = policy
        ) throws -> Router<BasicRequestContext> {
            let limiter = try RequestLimiter(policy: Policy(yaml: yaml, environment: [:]), store: store, clock: clock)
            let router = Router()
            router.add(middleware: RateLimitMiddleware(limiter, peer: { _ in nil }))
            for path: RouterPath in ["a", "health", "closed", "slow", "t"] { router.get(path) { _, _ in "ok" } }
            return router
        }

        private func ask(
            _ router: Router<BasicRequestContext>, _ paths: [String], logger: Logger? = nil
        ) async throws -> [Int] {
            try await Application(router: router, logger: logger ?? Logger(label: "test") { _ in Lines() }).test(
                .router
            ) {
                (client: any TestClientProtocol) async throws -> [Int] in
                var statuses: [Int] = []
                for path in paths { statuses.append(try await client.execute(uri: path, method: .get).status.code) }
                return statuses
            }
        }

        @Test("swift-metrics counts by limit and outcome, under the gateway's names")
        func metrics() async throws {
            let metrics = TestMetrics()
            try await withMetricsFactory(metrics) {
                let statuses = try await ask(
                    try router(), ["/a", "/a", "/a", "/health", "/closed", "/t"])
                #expect(statuses == [200, 200, 429, 200, 403, 200])
            }
            func count(_ limit: String, _ outcome: String) throws -> Int64 {
                try metrics.expectCounter("weir_limit_requests_total", [("limit", limit), ("outcome", outcome)])
                    .totalValue
            }
            #expect(try count("app", "allowed") == 2)
            #expect(try count("app", "denied") == 1)
            #expect(try count("trial", "allowed") == 1)
            #expect(try count("trial", "shadow_denied") == 2)
            #expect(try metrics.expectCounter("weir_exempt_requests_total").totalValue == 1)
            #expect(try metrics.expectCounter("weir_rejected_total", [("status", "403")]).totalValue == 1)
            #expect(
                try metrics.expectCounter("weir_cost_unknown_total", [("limit", "tokens"), ("reason", "absent")])
                    .totalValue == 1)
            #expect(try metrics.expectTimer("weir_decision_seconds").values.count == 6)
        }

        @Test("a check that is delayed is counted as such")
        func delayedCheck() async throws {
            let metrics = TestMetrics()
            let clock = ManualClock()
            try await withMetricsFactory(metrics) {
                let limiter = try RequestLimiter(
                    policy: Policy(
                        yaml:
                            "limits: [{name: mail, rate: 1/second, algorithm: leaky-bucket, max_wait: 5s, match: none}]",
                        environment: [:]),
                    clock: clock)
                let router = Router(context: AppContext.self)
                router.add(middleware: RateLimitMiddleware(limiter))
                router.get("a") { _, context in
                    try await context.rateLimit.check("mail", key: "k")
                    try await context.rateLimit.check("mail", key: "k")
                    return "ok"
                }
                let app = Application(router: router)
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask {
                        try await app.test(.router) {
                            (client: any TestClientProtocol) async throws -> Void in
                            let answer = try await client.execute(uri: "/a", method: .get)
                            #expect(answer.status == .ok)
                        }
                    }
                    try await clock.waitUntilWaiting()
                    clock.advance(by: .seconds(1))
                    try await group.waitForAll()
                }
            }
            for outcome in ["allowed", "delayed"] {
                let counted = try metrics.expectCounter(
                    "weir_limit_requests_total", [("limit", "mail"), ("outcome", outcome)])
                #expect(counted.totalValue == 1, "\(outcome)")
            }
        }

        @Test("a delayed request is counted as such, and its wait is a span")
        func delayed() async throws {
            let metrics = TestMetrics()
            let tracer = InMemoryTracer()
            let clock = ManualClock()
            try await withMetricsFactory(metrics) {
                try await withTracer(tracer) {
                    try await withThrowingTaskGroup(of: Void.self) { group in
                        group.addTask {
                            let statuses = try await ask(try router(clock: clock), ["/slow", "/slow"])
                            #expect(statuses == [200, 200])
                        }
                        try await clock.waitUntilWaiting(count: 1)
                        #expect(try metrics.expectMeter("weir_delayed_requests").values.last == 1)
                        clock.advance(by: .seconds(1))
                        try await group.waitForAll()
                    }
                }
            }
            let slow = try metrics.expectCounter(
                "weir_limit_requests_total", [("limit", "slow"), ("outcome", "delayed")])
            #expect(slow.totalValue == 1)
            #expect(try metrics.expectMeter("weir_delayed_requests").values.last == 0)
            #expect(tracer.finishedSpans.map(\.operationName) == ["weir.delay"])
        }

        @Test("a store's round trip is a span, and its failures are counted")
        func store() async throws {
            let metrics = TestMetrics()
            let tracer = InMemoryTracer()
            try await withMetricsFactory(metrics) {
                try await withTracer(tracer) {
                    let works = try await ask(try router(RemoteStore(clock: ManualClock())), ["/a"])
                    #expect(works == [200])
                    let failure = StoreError(.unavailable, "the server is gone")
                    let fails = try await ask(try router(RemoteStore(clock: ManualClock(), failure: failure)), ["/a"])
                    #expect(fails == [200], "the policy's default is to decide here")
                }
            }
            #expect(tracer.finishedSpans.map(\.operationName) == ["weir.decide", "weir.decide"])
            #expect(
                try metrics.expectCounter("weir_store_failures_total", [("reason", "unavailable")]).totalValue == 1)
        }

        @Test("the context's logger tells of denials, shadow ones too, and of no more than the policy allows")
        func logs() async throws {
            let lines = Lines()
            let logger = Logger(label: "test") { _ in lines }
            _ = try await ask(try router(), ["/a", "/a", "/a"], logger: logger)
            let told = lines.all.filter { $0.metadata["weir.limits"] != nil }
            #expect(
                told.map(\.message) == [
                    "request would be denied: the limit is in shadow mode",
                    "request would be denied: the limit is in shadow mode", "request denied",
                ])
            let denial = try #require(told.last?.metadata)
            #expect(denial["weir.limits"] == .array([.string("app")]))
            #expect(denial["weir.route"] == .string("/a"))
            #expect(denial["weir.retry_after"] == .string("1800.0 seconds"))
            #expect(denial["hb.request.id"] == nil, "the context's own metadata is the logger's affair")

            // A limit that a handler checks is told of, too.
            let checked = Lines()
            let limiter = try RequestLimiter(policy: Policy(yaml: "limits: [{name: mail, rate: 1/hour, match: none}]"))
            let handlers = Router(context: AppContext.self)
            handlers.add(middleware: RateLimitMiddleware(limiter))
            handlers.get("a") { _, context in
                try await context.rateLimit.check("mail", key: "k")
                return "ok"
            }
            let app = Application(router: handlers, logger: Logger(label: "test") { _ in checked })
            try await app.test(.router) { (client: any TestClientProtocol) async throws -> Void in
                for _ in 0..<2 { _ = try await client.execute(uri: "/a", method: .get) }
            }
            #expect(checked.all.compactMap { $0.metadata["weir.limits"] } == [.array([.string("mail")])])

            let quiet = Lines()
            _ = try await ask(
                try router(nil, "log: {denials_per_second: 0}\n" + Self.policy), ["/a", "/a", "/a"],
                logger: Logger(label: "test") { _ in quiet })
            #expect(quiet.all.filter { $0.metadata["weir.limits"] != nil }.isEmpty)
        }
    }
}
