// A Hummingbird app with a policy from a file, a limit in code, and a check at startup.

import Hummingbird
import WeirHummingbird

func makeRouter() throws -> Router<RemoteAddressContext> {
    // snippet.app
    let limiter = try RequestLimiter(policy: Policy(contentsOf: "weir.yaml"))
    let router = Router(context: RemoteAddressContext.self)
    router.add(middleware: RateLimitHeaders())
    router.add(middleware: RateLimitMiddleware(limiter))
    // snippet.end

    // snippet.route
    try router.rateLimited("predict", to: .perMinute(20), by: .client, using: limiter).post("predict") { _, _ in
        "predicted"
    }
    // snippet.end

    // snippet.verify
    for route in try limiter.verify(router).unlimited { print("nothing limits \(route)") }
    // snippet.end
    return router
}
