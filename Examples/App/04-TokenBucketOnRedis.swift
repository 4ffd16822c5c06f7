import Hummingbird
import Weir
import WeirHTTP
import WeirHummingbird

/// A bucket of 10 tokens, refilled at 30 a minute, for each client, on Redis.
///
/// By hand: `GET` the tokens and the time, compute, `SET`. Between the two another request has read the same tokens: with
/// 50 requests at once far more than 10 pass. The clocks of the instances disagree, too. Here one script on the server
/// reads, decides and writes, at the server's time.
enum TokenBucketOnRedis: Example {
    static let title = "a token bucket on Redis"
    static let needsRedis = true

    static func router(_ surroundings: Surroundings) throws -> Router<ClientContext> {
        let router = Router(context: ClientContext.self)
        router.add(middleware: RateLimitMiddleware(try surroundings.limiter("04-bucket")))
        router.addModel("predict", "small")
        return router
    }
}
