import Hummingbird
import Weir
import WeirHTTP
import WeirHummingbird

/// Clients are free, pro, enterprise or internal, as the field `tier` of the Redis hash `api_key:KEY` says. Set it with
/// `HSET api_key:abc tier pro`.
///
/// By hand: an `HGETALL` for every request, even for made-up keys, and a key without a hash isn't limited at all.
///
/// Here answers are cached for two seconds, so an upgrade takes effect within seconds. A client with an unknown key is
/// identified by its address. Each address can cause at most 100 lookups at once and 20 a second.
enum TiersFromRedis: Example {
    static let title = "tiers by API key from a Redis hash"
    static let needsRedis = true

    static func router(_ surroundings: Surroundings) throws -> Router<RemoteAddressContext> {
        let router = Router(context: RemoteAddressContext.self)
        router.add(middleware: RateLimitMiddleware(try surroundings.limiter("05-tiers")))
        router.addModel("predict", "small")
        return router
    }
}
