import Hummingbird
import Weir
import WeirHTTP
import WeirHummingbird

/// 10 requests in any minute for each API key, exactly, on Redis.
///
/// By hand: a sorted set with the time as score and member. Two requests in the same microsecond are one member and count
/// once; the request is added before it is counted, so that denied requests count too, and a client that keeps trying stays
/// out for ever. Here an entry holds what was admitted at its instant, and a denied request changes nothing.
enum SlidingWindowPerKey: Example {
    static let title = "a sliding window for each API key on Redis"
    static let needsRedis = true

    static func router(_ surroundings: Surroundings) throws -> Router<ClientContext> {
        let router = Router(context: ClientContext.self)
        router.add(middleware: RateLimitMiddleware(try surroundings.limiter("03-keys")))
        router.addModel("predict", "small")
        return router
    }
}
