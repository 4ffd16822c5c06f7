// A policy in code: tiers, costs, shadow mode, several windows.

import Hummingbird
import WeirHTTP
import WeirHummingbird

// snippet.policy
func makePolicy() throws -> Policy {
    // Numbers that depend on the client's tier.
    var api = LimitRule("api", ["free": .rates(.perMinute(60)), "pro": .rates(.perMinute(600), .perDay(100_000))])
    api.match = RequestMatch(path: "/api/*")

    // A cost in the request: one unit for each element of "inputs".
    var predict = LimitRule("predict", .perMinute(20), .perHour(500), by: [.client, .route])
    predict.match = RequestMatch("POST", path: "/predict")
    predict.cost = .request(.jsonItems("/inputs"), fallback: 1, max: 20)

    // At most four at once for all clients together.
    let gpu = LimitRule("gpu", concurrency: 4, by: [.global])

    // Decides, counts and logs, but never denies: to try a limit out.
    var trial = LimitRule("trial", try Rate(5, per: .seconds(10)))
    trial.mode = .shadow

    var policy = try Policy(limits: [api, predict, gpu, trial])
    policy.tiers = TierRules(default: "free")
    policy.trustedProxies = ["10.0.0.0/8"]
    return policy
}
// snippet.end

struct Plan {
    var name: String
}

// snippet.builder
// A result builder can't throw, so a middleware with a rule is made before.
func makeLimits(_ limiter: RequestLimiter) throws -> RateLimitMiddleware<RemoteAddressContext> {
    try RateLimitMiddleware(LimitRule("reports", .perHour(10)), using: limiter)
}
// snippet.end
