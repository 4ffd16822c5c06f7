import Hummingbird
import Weir
import WeirHTTP
import WeirHummingbird

/// Only paying clients may use `/premium`, 30 times a minute. Others get 403.
///
/// By hand: one decorator for the tier and one for the limit, in the wrong order. A client without access uses up a
/// budget, or learns from a 429 that the path exists. A comparison of paths misses `//premium`.
///
/// Here access is decided first and charges nothing, and a rule applies to every request that reaches its route.
enum PremiumEndpoints: Example {
    static let title = "premium endpoints: 403 without the tier, 30 a minute with it"

    static func router(_ surroundings: Surroundings) throws -> Router<RemoteAddressContext> {
        let limiter = try surroundings.limiter("06-premium")
        let router = Router(context: RemoteAddressContext.self)
        router.add(middleware: RateLimitMiddleware(limiter))
        router.addModel("predict", "small")
        router.addModel("premium/predict", "large")
        // Fail at startup if a rule's path matches no route.
        _ = try limiter.verify(router)
        return router
    }
}
