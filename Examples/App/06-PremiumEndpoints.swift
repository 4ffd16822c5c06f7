import Hummingbird
import Weir
import WeirHTTP
import WeirHummingbird

/// `/premium` is for those who pay, 30 times a minute; others get 403.
///
/// By hand: the check of the tier and that of the limit are two decorators, and in the wrong order: who may not come in at
/// all uses up a budget, or learns from a 429 that the path is there. `//premium` gets past a comparison of the path. Here access is
/// decided first and charges nothing, and a rule applies to whatever reaches its route.
enum PremiumEndpoints: Example {
    static let title = "premium endpoints: 403 without the tier, 30 a minute with it"

    static func router(_ surroundings: Surroundings) throws -> Router<ClientContext> {
        let limiter = try surroundings.limiter("06-premium")
        let router = Router(context: ClientContext.self)
        router.add(middleware: RateLimitMiddleware(limiter))
        router.addModel("predict", "small")
        router.addModel("premium/predict", "large")
        // A rule whose path fits no route is an error at start.
        _ = try limiter.verify(router)
        return router
    }
}
