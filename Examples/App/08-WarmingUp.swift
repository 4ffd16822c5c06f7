import Hummingbird
import Synchronization
import Weir
import WeirHTTP
import WeirHummingbird

/// A fifth of the limit until the model is ready.
///
/// By hand: `limit = limit / 5 if not ready` in the request's path, on the limit that the request before has divided
/// already, until it is 1. Here the factor is the policy's, and the whole limit applies when the model is ready, with the
/// same counters.
enum WarmingUp: Example {
    static let title = "warm-up at a fifth of the limit until the model is ready"

    static func router(_ surroundings: Surroundings) throws -> Router<ClientContext> {
        let limiter = try surroundings.limiter("08-warm-up")
        let router = Router(context: ClientContext.self)
        router.add(middleware: RateLimitMiddleware(limiter))
        router.addModel("predict", "small")
        // So that both can be seen by hand. An app that loads its model asks nobody:
        // app.addServices(RateLimitService(limiter, isReady: { await model.isLoaded }))
        router.post("loaded") { _, _ in
            limiter.endWarmUp()
            return "ready"
        }
        return router
    }
}
