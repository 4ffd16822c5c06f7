import Hummingbird
import Weir
import WeirHTTP
import WeirHummingbird

/// Free, pro, enterprise and internal clients, by what the Redis hash `api_key:KEY` says in its field `tier`:
/// `HSET api_key:abc tier pro`.
///
/// By hand: an `HGETALL` for each request, and for made-up keys as well; a key that isn't there isn't limited
/// at all. Here answers are kept for two seconds, unknown keys fall back to their address and are looked up
/// a hundred times, then twenty times a second, at most from one address, and an upgrade takes effect within seconds.
enum TiersFromRedis: Example {
    static let title = "tiers by API key from a Redis hash"
    static let needsRedis = true

    static func router(_ surroundings: Surroundings) throws -> Router<ClientContext> {
        let router = Router(context: ClientContext.self)
        router.add(middleware: RateLimitMiddleware(try surroundings.limiter("05-tiers")))
        router.addModel("predict", "small")
        return router
    }
}
