import Hummingbird
import Synchronization
import Weir
import WeirHTTP
import WeirHummingbird

/// A fifth of the limit applies until the model is ready.
///
/// By hand: `limit = limit / 5 if not ready` in the request's path. Every request divides the limit again, until it is
/// 1.
///
/// Here the policy names the factor. When the model is ready, the whole limit applies, with the same counters.
enum WarmingUp: Example {
    static let title = "warm-up at a fifth of the limit until the model is ready"

    static func router(_ surroundings: Surroundings) throws -> Router<RemoteAddressContext> {
        let limiter = try surroundings.limiter("08-warm-up")
        let router = Router(context: RemoteAddressContext.self)
        router.add(middleware: RateLimitMiddleware(limiter))
        router.addModel("predict", "small")
        // Lets you try both states by hand. An app that loads its model itself needs no such route:
        // app.addServices(RateLimitService(limiter, isReady: { await model.isLoaded }))
        router.post("loaded") { _, _ in
            limiter.endWarmUp()
            return "ready"
        }
        return router
    }
}
