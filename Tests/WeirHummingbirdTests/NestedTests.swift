import Foundation
import HTTPTypes
import Hummingbird
import Synchronization
import TestSupport
import Testing
import WeirHTTP
import WeirHummingbird
import WeirTesting

extension InApp {
    /// What an app has around the middleware, behind it, and inside of another.
    @Suite("The middleware among others", .serialized)
    struct NestedTests {
        let clock = ManualClock()

        private func limiter(_ yaml: String) throws -> RequestLimiter {
            let environment = ["SECRET": "a-secret-of-the-operators"]
            var policy = try Policy(yaml: yaml, environment: environment)
            policy.maxDelayed = 2
            return try RequestLimiter(policy: policy, clock: clock)
        }

        @Test("a middleware of the same limiter inside another charges only what that one didn't")
        func sameLimiter() async throws {
            let limiter = try limiter(
                "limits: [{name: app, rate: 10/hour}, {name: user, match: {path: '/users/{id}'}, rate: 5/hour}]")
            let router = Router(context: RemoteAddressContext.self)
            router.add(middleware: RateLimitMiddleware(limiter))
            let users = router.group("users").add(middleware: RateLimitMiddleware(limiter))
            users.get(":id") { _, _ in "user" }
            router.get("/") { _, _ in "home" }
            try await withServer(router.buildResponder()) { (port: Int) async throws -> Void in
                for left in [4, 3] {
                    let answer = try await exchangeApart(port, "GET", "/users/7")
                    #expect(answer.status == 200 && answer["RateLimit"]?.hasPrefix("\"user\";r=\(left);") == true)
                    #expect(answer.headers.filter { $0.name == "ratelimit" }.count == 1)
                }
                #expect(try await exchangeApart(port, "GET", "/")["X-RateLimit-Remaining"] == "7")
            }
        }

        @Test("a route's own limit knows whom the app has named, and its denials are offered to both places")
        func inherited() async throws {
            let limiter = try limiter("limits: [{name: app, rate: 100/hour}]")
            let heard = Mutex<[String]>([])
            let router = Router(context: RemoteAddressContext.self)
            router.add(
                middleware: RateLimitMiddleware(
                    limiter, identifyClient: { request, _ in request.headers[.authorization].map { AppClient($0) } },
                    onDenied: { denial, _, _ in
                        heard.withLock { $0.append("app \(denial.limits)") }
                        return nil
                    }))
            try router.rateLimited(
                "predict", to: .perHour(1), using: limiter,
                onDenied: { denial, _, _ in
                    heard.withLock { $0.append("route \(denial.limits)") }
                    return nil
                }
            ).post("predict") { _, _ in "yes" }
            try await withServer(router.buildResponder()) { (port: Int) async throws -> Void in
                func ask(_ user: String) async throws -> Int {
                    try await exchangeApart(port, "POST", "/predict", headers: ["Authorization": user]).status
                }
                #expect(try await [ask("alice"), ask("bob"), ask("alice")] == [200, 200, 429])
                #expect(heard.withLock { $0 } == [#"route ["predict"]"#, #"app ["predict"]"#])
            }
        }

        @Test(
            "no handler sees the bypass's secret, nor a header that only a trusted proxy may send; a bypass holds inside too"
        )
        func secrets() async throws {
            func answers(trusted: String) async throws -> [String] {
                let limiter = try limiter(
                    """
                    trusted_proxies: [\(trusted)]
                    client: [{header: X-User, from: trusted_proxies}, {header: X-Other}]
                    bypass: {header: X-Weir-Bypass, secret: {env: SECRET}}
                    limits: [{name: app, rate: 2/hour}]
                    """)
                let router = Router(context: RemoteAddressContext.self)
                router.add(middleware: RateLimitMiddleware(limiter))
                try router.rateLimited("route", to: .perHour(1), by: .global, using: limiter).get("/") { request, _ in
                    request.headers.map(\.name.canonicalName).filter { $0.hasPrefix("x-") }.sorted().joined(
                        separator: " ")
                }
                var answers: [String] = []
                try await withServer(router.buildResponder()) { (port: Int) async throws -> Void in
                    for secret in ["a-secret-of-the-operators", "a-secret-of-the-operators", "wrong", "wrong"] {
                        let answer = try await exchangeApart(
                            port, "GET", "/", headers: ["X-User": "root", "X-Other": "o", "X-Weir-Bypass": secret])
                        answers.append("\(answer.status) \(answer.status == 200 ? answer.unchunked : "")")
                    }
                }
                return answers
            }
            #expect(
                try await answers(trusted: "192.0.2.0/24") == ["200 x-other", "200 x-other", "200 x-other", "429 "])
            #expect(
                try await answers(trusted: "127.0.0.0/8")
                    == ["200 x-other x-user", "200 x-other x-user", "200 x-other x-user", "429 "])
        }

        @Test("a permit is free when HEAD is answered, whatever the handler leaves behind")
        func head() async throws {
            let limiter = try RequestLimiter(
                policy: Policy(limits: [LimitRule("flight", concurrency: 1, by: [.global])]), clock: clock)
            let router = Router(context: RemoteAddressContext.self, options: .autoGenerateHeadEndpoints)
            router.add(middleware: RateLimitMiddleware(limiter))
            let (gate, open) = AsyncStream.makeStream(of: Void.self)
            try router.rateLimited(LimitRule("own", concurrency: 1), using: limiter).get("/") { _, _ in
                Task { for await _ in gate {} }
                return "home"
            }
            try await withServer(router.buildResponder()) { (port: Int) async throws -> Void in
                for _ in 0..<3 { #expect(try await exchangeApart(port, "HEAD", "/").status == 200) }
                #expect(try await exchangeApart(port, "GET", "/").status == 200)
            }
            open.finish()
        }

        private struct AppError: Error {}
        private struct Teapot: HTTPResponseError {
            var isOwn = false
            var status: HTTPResponse.Status { .init(code: 418) }

            func response(from request: Request, context: some RequestContext) throws -> Response {
                Response(status: status)
            }
        }

        /// Makes a response of the app's own errors, as an app does.
        private struct ErrorMiddleware<Context: RequestContext>: RouterMiddleware {
            func handle(
                _ request: Request, context: Context, next: (Request, Context) async throws -> Response
            ) async throws -> Response {
                do {
                    return try await next(request, context)
                } catch is AppError {
                    return Response(status: .gone)
                } catch let error as HTTPError where error.status == .conflict {
                    // Nothing was added to the error.
                    return Response(status: error.headers.isEmpty ? .badRequest : .badGateway)
                } catch let error as Teapot where error.isOwn {
                    return Response(status: .accepted)
                }
            }
        }

        @Test(
            "what a handler throws is left as it is, and RateLimitHeaders adds the headers to what is made of it",
            arguments: ["outside", "inside", "none"])
        func errors(_ errorMiddleware: String) async throws {
            let limiter = try limiter("limits: [{name: app, rate: 10/hour}]")
            let router = Router(context: RemoteAddressContext.self)
            router.add(middleware: RateLimitHeaders())
            if errorMiddleware == "outside" { router.add(middleware: ErrorMiddleware()) }
            router.add(middleware: RateLimitMiddleware(limiter))
            if errorMiddleware == "inside" { router.add(middleware: ErrorMiddleware()) }
            router.get("app") { _, _ -> String in throw AppError() }
            router.get("http") { _, _ -> String in throw HTTPError(.conflict) }
            router.get("other") { _, _ -> String in throw HTTPError(.forbidden) }
            router.get("teapot") { _, _ -> String in throw Teapot() }
            router.get("own") { _, _ -> String in throw Teapot(isOwn: true) }
            try await withServer(router.buildResponder()) { (port: Int) async throws -> Void in
                let isMade = errorMiddleware != "none"
                let app = try await exchangeApart(port, "GET", "/app")
                #expect(app.status == (isMade ? 410 : 500))
                if isMade { #expect(app["X-RateLimit-Remaining"] == "9") }
                for (path, status, left) in [
                    ("http", isMade ? 400 : 409, 8), ("other", 403, 7), ("teapot", 418, 6),
                    ("own", isMade ? 202 : 418, 5),
                ] {
                    let answer = try await exchangeApart(port, "GET", "/" + path)
                    #expect(answer.status == status && answer["X-RateLimit-Remaining"] == "\(left)", "\(path)")
                    #expect(answer.headers.filter { $0.name == "x-ratelimit-limit" }.count == 1)
                }
            }
        }

        @Test("without RateLimitHeaders, an error is what it was, and has no limit headers")
        func bareErrors() async throws {
            let router = Router(context: RemoteAddressContext.self)
            router.add(middleware: ErrorMiddleware())
            router.add(middleware: RateLimitMiddleware(try limiter("limits: [{name: app, rate: 10/hour}]")))
            router.get("http") { _, _ -> String in throw HTTPError(.conflict) }
            router.get("own") { _, _ -> String in throw Teapot(isOwn: true) }
            try await withServer(router.buildResponder()) { (port: Int) async throws -> Void in
                for (path, status) in [("http", 400), ("own", 202)] {
                    let answer = try await exchangeApart(port, "GET", "/" + path)
                    #expect(answer.status == status && answer["RateLimit"] == nil, "\(path)")
                }
            }
        }

        @Test("a response that a middleware between two limits makes has the headers of both")
        func between() async throws {
            let limiter = try limiter("limits: [{name: app, rate: 10/hour}]")
            let router = Router(context: RemoteAddressContext.self)
            router.add(middleware: RateLimitHeaders())
            router.add(middleware: RateLimitMiddleware(limiter))
            router.add(middleware: ErrorMiddleware())
            let routes = try router.rateLimited("route", to: .perHour(5), using: limiter)
            routes.get("app") { _, _ -> String in throw AppError() }
            routes.get("http") { _, _ -> String in throw HTTPError(.conflict) }
            routes.get("other") { _, _ -> String in throw HTTPError(.forbidden) }
            routes.get("teapot") { _, _ -> String in throw Teapot() }
            try await withServer(router.buildResponder()) { (port: Int) async throws -> Void in
                for (path, status, limit) in [
                    ("app", 410, "5"), ("http", 400, "5"), ("other", 403, "5"), ("teapot", 418, "5"),
                ] {
                    let answer = try await exchangeApart(port, "GET", "/" + path)
                    #expect(answer.status == status && answer["X-RateLimit-Limit"] == limit, "\(path)")
                    #expect(answer.headers.filter { $0.name == "x-ratelimit-limit" }.count == 1)
                }
            }
        }

        @Test("a route's own warm-up ends with the others")
        func warmUp() async throws {
            let limiter = try limiter("limits: []")
            let router = Router(context: RemoteAddressContext.self)
            router.add(middleware: RateLimitMiddleware(limiter))
            var rule = LimitRule("predict", .perHour(10))
            rule.warmUp = WarmUpRule(1, over: 5, until: .ready(path: "/ready"))
            try router.rateLimited(rule, using: limiter).get("/") { _, _ in "yes" }
            try await withServer(router.buildResponder()) { (port: Int) async throws -> Void in
                #expect(try await exchangeApart(port, "GET", "/")["X-RateLimit-Limit"] == "2")
                limiter.endWarmUp()
                #expect(try await exchangeApart(port, "GET", "/")["X-RateLimit-Limit"] == "10")
            }
        }

        @Test("a leaky bucket's requests reach the handler at their slots and not before; too many at once are told so")
        func delays() async throws {
            let limiter = try limiter(
                "limits: [{name: slow, rate: 5/second, algorithm: leaky-bucket, max_wait: 10s}]")
            let released = Mutex<[Int64]>([])
            let router = Router(context: RemoteAddressContext.self)
            router.add(middleware: RateLimitMiddleware(limiter))
            let clock = clock
            let start = clock.timestamp
            router.get("/") { _, _ in
                released.withLock { $0.append(clock.timestamp - start) }
                return "done"
            }
            try await withServer(router.buildResponder()) { (port: Int) async throws -> Void in
                #expect(try await exchangeApart(port, "GET", "/").status == 200)
                async let second = exchangeApart(port, "GET", "/")
                try await until("the second waits for its slot") { clock.waiting == 1 }
                async let third = exchangeApart(port, "GET", "/")
                try await until("the third waits for its slot") { clock.waiting == 2 }
                let refused = try await exchangeApart(port, "GET", "/")
                #expect(refused.status == 503, "two wait already")
                clock.advance(by: .microseconds(199999))
                #expect(clock.waiting == 2 && released.withLock { $0 } == [0])
                clock.advance(by: .microseconds(1))
                #expect(try await second.status == 200)
                clock.advance(by: .milliseconds(200))
                #expect(try await third.status == 200)
                #expect(released.withLock { $0 } == [0, 200_000, 400_000])
                async let next = exchangeApart(port, "GET", "/")
                try await until("the slot of the one that was refused was given back") { clock.waiting == 1 }
                clock.advance(by: .milliseconds(200))
                #expect(try await next.status == 200)
            }
        }
    }
}
