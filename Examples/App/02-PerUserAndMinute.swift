import Hummingbird
import Weir
import WeirHTTP
import WeirHummingbird

/// 20 requests a minute for each user, whom the reverse proxy names in `X-User`, counted in Redis for all instances.
///
/// By hand: `INCR user:alice` and then `EXPIRE`. An app that dies between the two locks the user out for ever; the
/// name stands in Redis for all to read; anyone who reaches the app past the proxy writes the header himself; and
/// `Retry-After` says 60 whatever the time is. Here the key is a hash, its expiry is set with it, the header is believed
/// from the proxy alone, and `Retry-After` runs to the end of the minute.
enum PerUserAndMinute: Example {
    static let title = "per user and minute on Redis, the user named by the proxy"
    static let needsRedis = true

    static func router(_ surroundings: Surroundings) throws -> Router<ClientContext> {
        let router = Router(context: ClientContext.self)
        router.add(middleware: RateLimitMiddleware(try surroundings.limiter("02-users")))
        router.addModel("predict", "small")
        return router
    }
}
