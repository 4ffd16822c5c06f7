import Hummingbird
import Testing
import WeirHTTP
import WeirHummingbird

extension InApp {
    /// Each way to write a router, with what its requests get and what `verify` says.
    @Suite("Checking a router against the policy")
    struct VerifyTests {
        private struct Other: RouterMiddleware {
            typealias Context = RemoteAddressContext

            func handle(
                _ request: Request, context: Context, next: (Request, Context) async throws -> Response
            ) async throws -> Response { try await next(request, context) }
        }

        private func makeLimiter() throws -> RequestLimiter {
            try RequestLimiter(policy: Policy(limits: [LimitRule("all", .perHour(1))]))
        }

        private func makeRouter() -> Router<RemoteAddressContext> { Router(context: RemoteAddressContext.self) }

        /// What is unlimited, and what isn't known.
        private func verify(
            _ limiter: RequestLimiter, _ router: Router<RemoteAddressContext>
        ) throws -> (unlimited: [String], unknown: [String]) {
            let coverage = try limiter.verify(router)
            return (coverage.unlimited.map(\.description).sorted(), coverage.unknown.map(\.description).sorted())
        }

        @Test("a stack of middlewares is looked into, wherever the limiter is in it", arguments: [false, true])
        func stack(isFirst: Bool) throws {
            let (limiter, router) = (try makeLimiter(), makeRouter())
            router.get("before") { _, _ in "" }
            if isFirst {
                router.addMiddleware {
                    RateLimitMiddleware(limiter)
                    Other()
                }
            } else {
                router.addMiddleware {
                    Other()
                    Other()
                    RateLimitMiddleware(limiter)
                }
            }
            router.get("a") { _, _ in "" }
            #expect(try verify(limiter, router) == (["GET /before"], []))
        }

        @Test("routes between two middlewares are told apart")
        func between() throws {
            let (limiter, router) = (try makeLimiter(), makeRouter())
            router.add(middleware: Other())
            router.get("really-unlimited") { _, _ in "" }
            router.add(middleware: RateLimitHeaders())
            router.add(middleware: RateLimitMiddleware(limiter))
            router.get("a") { _, _ in "" }
            #expect(try verify(limiter, router) == (["GET /really-unlimited"], []))
        }

        @Test("a collection's own limit is found under the path that the collection is added at")
        func collection() throws {
            let (limiter, router) = (try makeLimiter(), makeRouter())
            router.add(middleware: Other())
            let collection = RouteCollection(context: RemoteAddressContext.self)
            try collection.rateLimited("own", to: .perHour(1), using: limiter).get("a") { _, _ in "" }
            collection.get("b") { _, _ in "" }
            router.addRoutes(collection, atPath: "/coll")
            #expect(try verify(limiter, router) == (["GET /coll/b"], []))
        }

        @Test("a collection's limit that several routes may have makes them unknown")
        func ambiguousCollection() throws {
            let (limiter, router) = (try makeLimiter(), makeRouter())
            router.add(middleware: Other())
            let collection = RouteCollection(context: RemoteAddressContext.self)
            try collection.rateLimited("own", to: .perHour(1), using: limiter).get("a") { _, _ in "" }
            router.addRoutes(collection, atPath: "/one")
            router.get("two/a") { _, _ in "" }
            #expect(try verify(limiter, router) == ([], ["GET /one/a", "GET /two/a"]))
        }

        @Test("one limit shared by several groups covers the routes of each", arguments: [false, true])
        func sharedLimit(isBehindAnother: Bool) throws {
            let (limiter, router) = (try makeLimiter(), makeRouter())
            if isBehindAnother { router.add(middleware: Other()) }
            let shared = try RateLimitMiddleware<RemoteAddressContext>(
                LimitRule("shared", .perHour(2)), using: limiter)
            router.group("one").add(middleware: shared).get("a") { _, _ in "" }
            router.group("two").add(middleware: shared).get("a") { _, _ in "" }
            router.get("open") { _, _ in "" }
            #expect(try verify(limiter, router) == (["GET /open"], []))
        }

        @Test("a group behind another middleware is known if its limiter was added in a chain")
        func groupInAChain() throws {
            let (limiter, router) = (try makeLimiter(), makeRouter())
            router.add(middleware: Other())
            router.group("api").add(middleware: RateLimitMiddleware(limiter)).get("a") { _, _ in "" }
            router.get("open") { _, _ in "" }
            #expect(try verify(limiter, router) == (["GET /open"], []))
        }

        @Test("a group whose limiter was added in a statement of its own is unknown behind another middleware")
        func groupInAStatement() throws {
            let (limiter, router) = (try makeLimiter(), makeRouter())
            router.get("first") { _, _ in "" }
            router.add(middleware: Other())
            let group = router.group("api")
            group.add(middleware: RateLimitMiddleware(limiter))
            group.get("a") { _, _ in "" }
            #expect(try verify(limiter, router) == (["GET /first"], ["GET /api/a"]))
        }

        @Test("a limiter that was added as any middleware is unknown, unless it is the first")
        func anyMiddleware() throws {
            for isFirst in [true, false] {
                let (limiter, router) = (try makeLimiter(), makeRouter())
                let limiting: any MiddlewareProtocol<Request, Response, RemoteAddressContext> = RateLimitMiddleware(
                    limiter)
                if !isFirst { router.add(middleware: Other()) }
                router.add(middleware: limiting)
                router.get("a") { _, _ in "" }
                #expect(try verify(limiter, router) == ([], isFirst ? [] : ["GET /a"]))
            }
        }

        @Test("two limiters of other policies don't count")
        func otherPolicy() throws {
            let (limiter, other, router) = (try makeLimiter(), try makeLimiter(), makeRouter())
            router.add(middleware: RateLimitMiddleware(other))
            router.get("a") { _, _ in "" }
            #expect(try verify(limiter, router) == (["GET /a"], []))
            #expect(try verify(other, router) == ([], []))
        }

        @Test("a route that is free of all limits is exempt, in a router or a collection")
        func free() throws {
            let (limiter, router) = (try makeLimiter(), makeRouter())
            router.add(middleware: RateLimitMiddleware(limiter))
            router.rateLimitExempt(from: limiter).get("health") { _, _ in "" }
            let collection = RouteCollection(context: RemoteAddressContext.self)
            collection.rateLimitExempt(from: limiter, mountedAt: "probe").get("ready") { _, _ in "" }
            router.addRoutes(collection, atPath: "probe")
            #expect(
                try limiter.verify(router).exempt.map(\.description).sorted() == ["GET /health", "GET /probe/ready"])
        }

        @Test("a result builder's routes are given as a list")
        func list() throws {
            let limiter = try makeLimiter()
            #expect(try limiter.verify([AppRoute("GET", "/a")]).unlimited.isEmpty)
        }
    }
}
