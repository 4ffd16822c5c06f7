import Hummingbird
import Weir
import WeirHTTP
import WeirHummingbird

/// Each client has a bucket of 10 tokens in Redis, refilled at 30 a minute.
///
/// By hand: `GET` the tokens and the time, compute, then `SET`. In between, other requests read the same tokens: of 50
/// concurrent requests, far more than 10 pass. The instances' clocks also disagree.
///
/// Here one script on the server reads, decides and writes, by the server's clock.
enum TokenBucketOnRedis: Example {
    static let title = "a token bucket on Redis"
    static let needsRedis = true

    static func router(_ surroundings: Surroundings) throws -> Router<RemoteAddressContext> {
        let router = Router(context: RemoteAddressContext.self)
        router.add(middleware: RateLimitMiddleware(try surroundings.limiter("04-bucket")))
        router.addModel("predict", "small")
        return router
    }
}
