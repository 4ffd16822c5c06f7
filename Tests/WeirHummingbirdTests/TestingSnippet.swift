// Tests of an app's limits, as the documentation shows them: in the test's own process, with a clock that stands still.

import HTTPTypes
import Hummingbird
import HummingbirdTesting
import Testing
import WeirHummingbird
import WeirTesting

// snippet.app
func makeRouter(_ limiter: RequestLimiter) throws -> Router<RemoteAddressContext> {
    let router = Router(context: RemoteAddressContext.self)
    router.add(middleware: RateLimitHeaders())
    router.add(
        middleware: RateLimitMiddleware(
            limiter,
            identifyClient: { request, _ in request.headers[.authorization].map { AppClient($0) } },
            onDenied: { denial, _, _ in Response(status: .init(code: denial.status), headers: [.server: "my app"]) }))
    router.get("/") { _, _ in "hello" }
    return router
}
// snippet.end

@Suite("The tests that the documentation shows")
struct TestingSnippet {
    // snippet.test
    @Test func eachClientHasItsOwnBudget() async throws {
        let clock = ManualClock()
        let limiter = try RequestLimiter(policy: Policy(limits: [LimitRule("all", .perMinute(2))]), clock: clock)
        try await Application(router: makeRouter(limiter)).test(.router) { client in
            func ask(_ user: String) async throws -> TestResponse {
                try await client.execute(uri: "/", method: .get, headers: [.authorization: user])
            }
            // Two requests pass. The third is denied, by the app's own answer.
            for _ in 0..<2 { try #require(await ask("alice").status == .ok) }
            let denied = try await ask("alice")
            try #require(denied.status == .tooManyRequests && denied.headers[.server] == "my app")
            try #require(denied.headers[.retryAfter] == "30")
            // Another client has a budget of its own. Half a minute later, one more request of the first passes.
            try #require(await ask("bob").status == .ok)
            clock.advance(by: .seconds(30))
            try #require(await ask("alice").status == .ok)
        }
    }
    // snippet.end

    // snippet.delay
    @Test func aLeakyBucketDelays() async throws {
        let clock = ManualClock()
        let rule = LimitRule("slow", .perSecond(1), algorithm: .leakyBucket)
        let limiter = try RequestLimiter(policy: Policy(limits: [rule]), clock: clock)
        try await Application(router: makeRouter(limiter)).test(.router) { client in
            _ = try await client.execute(uri: "/", method: .get)
            async let second = client.execute(uri: "/", method: .get)
            // Wait until the request is waiting, and only then move the clock.
            try await clock.waitUntilWaiting(count: 1)
            clock.advance(by: .seconds(1))
            try #require(await second.status == .ok)
        }
    }
    // snippet.end

    // snippet.denial
    @Test func aDenialIsMadeByHand() {
        let denial = Denial(status: 429, limits: ["all"], retryAfter: .seconds(30))
        #expect(denial.retryAfter == .seconds(30) && denial.limits == ["all"])
    }
    // snippet.end
}
