import Hummingbird
import Weir
import WeirHTTP
import WeirHummingbird

/// A light model, a heavy one, and batches: limits of their own, and a batch costs as many as its inputs.
///
/// By hand: a request counts one, so a batch of a thousand is as cheap as one; or the body is parsed by the limiter, and
/// then gone for the handler. Here the cost is the length of `inputs`, what can't be read costs the most, more than 64 are
/// refused with 413 and cost nothing, and the handler has the whole body.
enum ModelsByWeight: Example {
    static let title = "light, heavy and batch models, cost by batch length"

    static func router(_ surroundings: Surroundings) throws -> Router<ClientContext> {
        let router = Router(context: ClientContext.self)
        router.add(middleware: RateLimitMiddleware(try surroundings.limiter("07-models")))
        router.addModel("models/light", "light")
        router.addModel("models/heavy", "heavy")
        router.addModel("models/batch", "light")
        return router
    }
}
