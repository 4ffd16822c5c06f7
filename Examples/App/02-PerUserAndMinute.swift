import Hummingbird
import Weir
import WeirHTTP
import WeirHummingbird

/// Each user, named in `X-User` by the reverse proxy, may send 20 requests a minute. All instances count in Redis.
///
/// By hand: `INCR user:alice`, then `EXPIRE`. If the app dies between the two, the user is locked out permanently. The
/// user's name is in Redis for all to read, anyone who bypasses the proxy can write the header, and `Retry-After` is
/// always 60.
///
/// Here the key is a hash and is stored together with its expiry, the header is accepted only from the proxy, and
/// `Retry-After` is the time to the end of the minute.
enum PerUserAndMinute: Example {
    static let title = "per user and minute on Redis, the user named by the proxy"
    static let needsRedis = true

    static func router(_ surroundings: Surroundings) throws -> Router<RemoteAddressContext> {
        let router = Router(context: RemoteAddressContext.self)
        router.add(middleware: RateLimitMiddleware(try surroundings.limiter("02-users")))
        router.addModel("predict", "small")
        return router
    }
}
