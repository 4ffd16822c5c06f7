import Hummingbird
import Weir
import WeirHTTP
import WeirHummingbird

/// Each API key may send 10 requests in any minute, exactly, counted in Redis.
///
/// By hand: a sorted set with the time as both score and member. Two requests in the same microsecond are one member
/// and count once. The request is added before the set is counted, so denied requests count too, and a client that
/// keeps trying is never let in again.
///
/// Here an entry holds the number of requests admitted at its instant, and a denied request changes nothing.
enum SlidingWindowPerKey: Example {
    static let title = "a sliding window for each API key on Redis"
    static let needsRedis = true

    static func router(_ surroundings: Surroundings) throws -> Router<RemoteAddressContext> {
        let router = Router(context: RemoteAddressContext.self)
        router.add(middleware: RateLimitMiddleware(try surroundings.limiter("03-keys")))
        router.addModel("predict", "small")
        return router
    }
}
