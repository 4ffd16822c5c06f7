import Hummingbird
import HummingbirdTesting
import HTTPTypes
import NIOCore
import Synchronization
import Testing
import WeirHTTP
import WeirHummingbird
import WeirTesting

/// An app's own context, which shows handlers their limits.
struct AppContext: RemoteAddressRequestContext, RateLimitRequestContext {
    var coreContext: CoreRequestContextStorage
    let remoteAddress: SocketAddress?
    var rateLimit = RateLimit()

    init(source: Source) {
        coreContext = .init(source: source)
        remoteAddress = source.channel.remoteAddress
    }
}

extension InApp {
    @Suite("A handler and its limits")
    struct HandlerTests {
        private func makeLimiter(_ yaml: String) throws -> RequestLimiter {
            try RequestLimiter(policy: Policy(yaml: yaml, environment: [:]), clock: ManualClock())
        }

        private func test(
            _ router: Router<AppContext>, _ body: @Sendable (any TestClientProtocol) async throws -> Void
        ) async throws {
            try await Application(router: router).test(.router) { try await body($0) }
        }

        @Test("it sees what is left, of its own limits and of those around it")
        func standings() async throws {
            let limiter = try makeLimiter(
                "limits: [{name: app, rate: 100/hour}, {name: trial, rate: 1/hour, mode: shadow}]")
            let router = Router(context: AppContext.self)
            router.add(middleware: RateLimitMiddleware(limiter))
            try router.rateLimited("own", to: .perHour(5), using: limiter).get("a") { _, context in
                let names = context.rateLimit.limits.map { "\($0.name) \($0.remaining)/\($0.quota)" }
                return "\(context.rateLimit.remaining ?? -1): \(names.joined(separator: ", "))"
            }
            try await test(router) { (client: any TestClientProtocol) async throws -> Void in
                let first = try await client.execute(uri: "/a", method: .get)
                #expect(String(buffer: first.body) == "4: app 99/100, own 4/5")
                let second = try await client.execute(uri: "/a", method: .get)
                #expect(String(buffer: second.body) == "3: app 98/100, own 3/5")
            }
        }

        @Test("it charges a cost that only it knows, and no header tells it")
        func charge() async throws {
            let limiter = try makeLimiter(
                """
                limits:
                  - {name: requests, rate: 100/hour}
                  - {name: tokens, rate: 1000/hour, cost: {response: {header: X-Cost}, reserve: 10, default: 500}}
                """)
            let router = Router(context: AppContext.self)
            router.add(middleware: RateLimitMiddleware(limiter))
            router.get("a") { _, context in
                context.rateLimit.charge(30)
                context.rateLimit.charge(12)
                return "ok"
            }
            // A stream says its cost while its body is written.
            router.get("stream") { _, context in
                Response(
                    status: .ok,
                    body: ResponseBody { writer in
                        try await writer.write(ByteBuffer(string: "part"))
                        context.rateLimit.charge(100)
                        try await writer.finish(nil)
                    })
            }
            router.get("named") { _, context in
                context.rateLimit.charge(7, to: "requests")
                return Response(status: .ok, headers: [HTTPField.Name("X-Cost")!: "1"])
            }
            router.get("look") { _, context in
                let left = context.rateLimit.limits.map { "\($0.name) \($0.remaining)" }
                context.rateLimit.charge(0)
                return left.joined(separator: ", ")
            }
            try await test(router) { (client: any TestClientProtocol) async throws -> Void in
                let answer = try await client.execute(uri: "/a", method: .get)
                #expect(answer.status == .ok && answer.headers[HTTPField.Name("X-Cost")!] == nil)
                _ = try await client.execute(uri: "/stream", method: .get)
                _ = try await client.execute(uri: "/named", method: .get)
                let look = try await client.execute(uri: "/look", method: .get)
                // 4 requests and 7 units; 42, 100 and 1 tokens, and the reserve of this request.
                #expect(String(buffer: look.body) == "requests 89, tokens 847")
            }
        }

        @Test("without a cost in the response, a charge is on all limits of the request, into debt if need be")
        func plainCharge() async throws {
            let limiter = try makeLimiter("limits: [{name: app, rate: 10/hour}]")
            let router = Router(context: AppContext.self)
            router.add(middleware: RateLimitMiddleware(limiter))
            router.get("a") { _, context in
                context.rateLimit.charge(14)
                return "\(context.rateLimit.remaining ?? -1)"
            }
            try await test(router) { (client: any TestClientProtocol) async throws -> Void in
                #expect(try await String(buffer: client.execute(uri: "/a", method: .get).body) == "0")
                let denied = try await client.execute(uri: "/a", method: .get)
                #expect(denied.status == .tooManyRequests)
                // 5 units are owed, and one is wanted, at six minutes each.
                #expect(denied.headers[.retryAfter] == "2160")
            }
        }

        @Test("it checks a limit of the policy by its name, and the denial is the limit's own")
        func check() async throws {
            let limiter = try makeLimiter(
                """
                limits:
                  - {name: app, rate: 100/hour}
                  - {name: password-reset, rate: 2/hour, match: none}
                """)
            let heard = Mutex<[[String]]>([])
            let router = Router(context: AppContext.self)
            router.add(
                middleware: RateLimitMiddleware(
                    limiter,
                    onDenied: { denial, _, _ in
                        heard.withLock { $0.append(denial.limits) }
                        return nil
                    }))
            router.post("reset/:email") { _, context in
                let email = try context.parameters.require("email")
                try await context.rateLimit.check("password-reset", key: email)
                return "sent"
            }
            router.post("wrong") { _, context in
                try await context.rateLimit.check("pasword-reset", key: "a")
                return "sent"
            }
            try await test(router) { (client: any TestClientProtocol) async throws -> Void in
                for expected in [200, 200, 429] {
                    let answer = try await client.execute(uri: "/reset/alice", method: .post)
                    #expect(answer.status.code == expected)
                    guard expected == 429 else { continue }
                    #expect(answer.headers[.retryAfter] == "1800")
                    #expect(answer.headers[HTTPField.Name("RateLimit")!] == "\"password-reset\";r=0;t=1800")
                    #expect(String(buffer: answer.body).contains("\"violated-policies\":[\"password-reset\"]"))
                }
                #expect(try await client.execute(uri: "/reset/bob", method: .post).status == .ok)
                #expect(heard.withLock { $0 } == [["password-reset"]])
                #expect(try await client.execute(uri: "/wrong", method: .post).status == .internalServerError)
            }
        }

        @Test("a check behind a route's own limit is of the limit that it names")
        func checkBehindARouteLimit() async throws {
            let limiter = try makeLimiter(
                """
                limits:
                  - {name: app, rate: 100/hour}
                  - {name: reset, rate: 1/hour, match: none}
                  - {name: other, rate: 50/hour, match: none}
                """)
            let router = Router(context: AppContext.self)
            router.add(middleware: RateLimitMiddleware(limiter))
            for (path, routes) in [
                ("own", try router.rateLimited("own", to: .perHour(9), using: limiter)),
                ("named", try router.rateLimited("other", using: limiter)),
            ] as [(RouterPath, RateLimitedRoutes<AppContext>)] {
                routes.post(path) { _, context in
                    try await context.rateLimit.check("reset", key: context.endpointPath ?? "")
                    return "sent"
                }
            }
            try await test(router) { (client: any TestClientProtocol) async throws -> Void in
                for path in ["/own", "/named"] {
                    #expect(try await client.execute(uri: path, method: .post).status == .ok)
                    #expect(try await client.execute(uri: path, method: .post).status == .tooManyRequests)
                }
            }
        }

        private struct ChildContext: ChildRequestContext, RateLimitRequestContext {
            var coreContext: CoreRequestContextStorage
            var rateLimit = RateLimit()

            init(context: AppContext) { coreContext = context.coreContext }
        }

        @Test("a context that is made of the app's finds the limits, and its path is known")
        func childContext() async throws {
            let limiter = try makeLimiter("limits: [{name: app, rate: 10/hour}]")
            let router = Router(context: AppContext.self)
            router.add(middleware: RateLimitMiddleware(limiter))
            let child = router.group("child").group(context: ChildContext.self)
            child.get("a") { _, context in
                context.rateLimit.charge(3)
                return "\(context.rateLimit.limits.map(\.remaining))"
            }
            child.rateLimitExempt(from: limiter).get("health") { _, _ in "ok" }
            #expect(try limiter.verify(router).exempt.map(\.description) == ["GET /child/health"])
            try await test(router) { (client: any TestClientProtocol) async throws -> Void in
                #expect(try await String(buffer: client.execute(uri: "/child/a", method: .get).body) == "[6]")
                let health = try await client.execute(uri: "/child/health", method: .get)
                #expect(health.status == .ok && health.headers[HTTPField.Name("RateLimit")!] == nil)
                #expect(try await String(buffer: client.execute(uri: "/child/a", method: .get).body) == "[2]")
            }
        }

        @Test("tasks of the handler charge while its response is made and written, and nothing is lost")
        func concurrentCharges() async throws {
            let limiter = try makeLimiter(
                """
                limits:
                  - {name: plain, rate: 1000000/hour}
                  - {name: tokens, rate: 1000000/hour, cost: {response: {json: /n}, default: 1}}
                """)
            let router = Router(context: AppContext.self)
            router.add(middleware: RateLimitMiddleware(limiter))
            try router.rateLimited("own", to: .perHour(1_000_000), using: limiter).get("a") { _, context in
                let (parts, feed) = AsyncStream.makeStream(of: ByteBuffer.self)
                Task {
                    await withTaskGroup(of: Void.self) { group in
                        for _ in 0..<50 {
                            group.addTask {
                                context.rateLimit.charge(1)
                                context.rateLimit.charge(2, to: "plain")
                                _ = context.rateLimit.limits
                                feed.yield(ByteBuffer(string: "x"))
                            }
                        }
                    }
                    feed.finish()
                }
                return Response(status: .ok, body: ResponseBody(asyncSequence: parts))
            }
            router.get("look") { _, context in
                defer { context.rateLimit.charge(0) }
                return context.rateLimit.limits.map { "\($0.quota - $0.remaining)" }.joined(separator: " ")
            }
            try await test(router) { (client: any TestClientProtocol) async throws -> Void in
                for _ in 0..<20 { _ = try await client.execute(uri: "/a", method: .get) }
                // 20 requests, 100 units of each and this request; 50 tokens of each.
                let look = try await client.execute(uri: "/look", method: .get)
                #expect(String(buffer: look.body) == "2021 1000")
            }
        }

        @Test("a check after the response has ended is still decided, and its permit is freed at once")
        func lateCheck() async throws {
            let limiter = try makeLimiter(
                "limits: [{name: mail, rate: 1/hour, match: none}, {name: job, algorithm: concurrency, limit: 1, match: none}]"
            )
            let kept = Mutex<RateLimit?>(nil)
            let router = Router(context: AppContext.self)
            router.add(middleware: RateLimitMiddleware(limiter))
            router.get("a") { _, context in
                kept.withLock { $0 = context.rateLimit }
                return "ok"
            }
            try await test(router) { (client: any TestClientProtocol) async throws -> Void in
                _ = try await client.execute(uri: "/a", method: .get)
            }
            let late = try #require(kept.withLock { $0 })
            try await late.check("mail", key: "k")
            await #expect(throws: RateLimitDeniedError.self) { try await late.check("mail", key: "k") }
            for _ in 0..<2 { try await late.check("job", key: "k") }
        }

        @Test("an app's own answer serves for checks too, and the limit headers are added", arguments: [false, true])
        func checkWithOwnAnswer(hasHeadersFirst: Bool) async throws {
            let limiter = try makeLimiter("limits: [{name: mail, rate: 1/hour, match: none}]")
            let router = Router(context: AppContext.self)
            if hasHeadersFirst { router.add(middleware: RateLimitHeaders()) }
            router.add(
                middleware: RateLimitMiddleware(
                    limiter, onDenied: { _, _, _ in Response(status: .init(code: 420), headers: [.server: "own"]) }))
            router.post("a") { _, context in
                try await context.rateLimit.check("mail", key: "alice")
                return "sent"
            }
            try await test(router) { (client: any TestClientProtocol) async throws -> Void in
                #expect(try await client.execute(uri: "/a", method: .post).status == .ok)
                let denied = try await client.execute(uri: "/a", method: .post)
                #expect(denied.status.code == 420 && denied.headers[.server] == "own")
                #expect(denied.headers[.retryAfter] == "3600")
                #expect(denied.headers[HTTPField.Name("RateLimit-Policy")!] == "\"mail\";q=1;w=3600")
            }
        }

        @Test("a permit that it checked is held until the response has ended")
        func permit() async throws {
            let limiter = try makeLimiter("limits: [{name: jobs, algorithm: concurrency, limit: 1, match: none}]")
            let router = Router(context: AppContext.self)
            router.add(middleware: RateLimitMiddleware(limiter))
            router.get("a") { _, context in
                try await context.rateLimit.check("jobs", key: "k")
                await #expect(throws: RateLimitDeniedError.self) {
                    try await context.rateLimit.check("jobs", key: "k")
                }
                try await context.rateLimit.check("jobs", key: "other")
                return "done"
            }
            try await test(router) { (client: any TestClientProtocol) async throws -> Void in
                for _ in 0..<3 { #expect(try await client.execute(uri: "/a", method: .get).status == .ok) }
            }
        }

        @Test("a limit of the file is attached to a route by its name, counts once, and shares its counters")
        func attached() async throws {
            let limiter = try makeLimiter(
                """
                limits:
                  - {name: expensive, rate: 3/hour, match: none}
                  - {name: reports, rate: 5/hour, match: {path: /reports}}
                """)
            let router = Router(context: AppContext.self)
            router.add(middleware: RateLimitMiddleware(limiter))
            try router.rateLimited("expensive", using: limiter).get("a") { _, _ in "a" }
            try router.rateLimited("expensive", using: limiter).get("b") { _, _ in "b" }
            try router.rateLimited("reports", using: limiter).get("reports") { _, context in
                "\(context.rateLimit.limits.map(\.remaining))"
            }
            router.get("open") { _, _ in "open" }
            #expect(throws: PolicyError.self) { try router.rateLimited("expensiv", using: limiter) }
            #expect(try limiter.verify(router).unlimited.map(\.description) == ["GET /open"])
            try await test(router) { (client: any TestClientProtocol) async throws -> Void in
                for path in ["/a", "/b", "/a"] {
                    #expect(try await client.execute(uri: path, method: .get).status == .ok)
                }
                #expect(try await client.execute(uri: "/b", method: .get).status == .tooManyRequests)
                #expect(try await client.execute(uri: "/open", method: .get).status == .ok)
                #expect(try await String(buffer: client.execute(uri: "/reports", method: .get).body) == "[4]")
            }
        }

        @Test("a route that is freed of all limits has none, and no headers; access rules still hold")
        func freed() async throws {
            let limiter = try makeLimiter(
                """
                access: [{match: {path: /closed}, deny: true}]
                limits: [{name: app, rate: 1/hour}]
                """)
            let router = Router(context: AppContext.self)
            router.add(middleware: RateLimitMiddleware(limiter))
            router.rateLimitExempt(from: limiter).get("health") { _, context in "\(context.rateLimit.limits.count)" }
            router.rateLimitExempt(from: limiter).get("closed") { _, _ in "" }
            router.get("a") { _, _ in "a" }
            try await test(router) { (client: any TestClientProtocol) async throws -> Void in
                for _ in 0..<3 {
                    let answer = try await client.execute(uri: "/health", method: .get)
                    #expect(answer.status == .ok && String(buffer: answer.body) == "0")
                    #expect(answer.headers[HTTPField.Name("RateLimit")!] == nil)
                }
                #expect(try await client.execute(uri: "/closed", method: .get).status == .forbidden)
                #expect(try await client.execute(uri: "/a", method: .get).status == .ok)
                #expect(try await client.execute(uri: "/a", method: .get).status == .tooManyRequests)
            }
        }

        @Test("without a middleware, it sees no limits, and a check is an error that says why")
        func noMiddleware() async throws {
            let rateLimit = RateLimit()
            #expect(rateLimit.limits.isEmpty && rateLimit.remaining == nil)
            rateLimit.charge(3)
            let error = await #expect(throws: PolicyError.self) { try await rateLimit.check("a", key: "k") }
            #expect(error?.description.contains("no RateLimitMiddleware is in front of this route") == true)
        }
    }
}
