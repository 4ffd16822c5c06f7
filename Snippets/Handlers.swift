// A handler that sees its limits, charges them and asks one by its name.

import Hummingbird
import NIOCore
import WeirHummingbird

// snippet.context
struct AppContext: RemoteAddressRequestContext, RateLimitRequestContext {
    var coreContext: CoreRequestContextStorage
    let remoteAddress: SocketAddress?
    var rateLimit = RateLimit()

    init(source: Source) {
        coreContext = .init(source: source)
        remoteAddress = source.channel.remoteAddress
    }
}
// snippet.end

struct Model {
    func answer(_ request: Request) async throws -> (text: String, tokens: Int64) { ("predicted", 12) }
}

func addRoutes(to router: Router<AppContext>, _ limiter: RequestLimiter, _ model: Model) throws {
    // snippet.charge
    router.post("predict") { request, context in
        let (text, tokens) = try await model.answer(request)
        // Known only now, and told to nobody. Limits with a cost in the response are charged.
        context.rateLimit.charge(tokens)
        return text
    }
    // snippet.end

    // snippet.left
    router.get("quota") { _, context in
        context.rateLimit.limits.map { "\($0.name): \($0.remaining) of \($0.quota)" }.joined(separator: "\n")
    }
    // snippet.end

    // snippet.check
    router.post("password-reset/:email") { _, context in
        let email = try context.parameters.require("email")
        // In the policy: {name: password-reset, rate: 2/hour, match: none}
        try await context.rateLimit.check("password-reset", key: email)
        return "sent"
    }
    // snippet.end

    // snippet.named
    // A limit of the policy's file, on routes that it doesn't name; and a route without any limit.
    try router.rateLimited("expensive", using: limiter).get("report") { _, _ in "report" }
    router.rateLimitExempt(from: limiter).get("health") { _, _ in "ok" }
    // snippet.end
}
