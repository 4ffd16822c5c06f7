import Hummingbird
import Weir
import WeirHTTP
import WeirHummingbird

/// A light model, a heavy model and batches have their own limits, and a batch costs the number of its inputs.
///
/// By hand: every request counts as one, so a batch of a thousand is as cheap as a single input. Or the limiter parses
/// the body, which is then no longer there for the handler.
///
/// Here the cost is the number of `inputs`, and a single text counts as one. A body that can't be read costs the
/// maximum. More than 64 inputs get 413 and cost nothing. The handler gets the whole body.
enum ModelsByWeight: Example {
    static let title = "light, heavy and batch models, cost by batch length"

    static func router(_ surroundings: Surroundings) throws -> Router<RemoteAddressContext> {
        let router = Router(context: RemoteAddressContext.self)
        router.add(middleware: RateLimitHeaders())  // a batch that the handler refuses has the limit headers, too
        router.add(middleware: RateLimitMiddleware(try surroundings.limiter("07-models")))
        router.addModel("models/light", "light")
        router.addModel("models/heavy", "heavy")
        router.addModel("models/batch", "light")
        return router
    }
}
