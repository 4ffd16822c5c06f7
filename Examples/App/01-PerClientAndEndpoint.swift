import Hummingbird
import Weir
import WeirHTTP
import WeirHummingbird

/// Each client may send 10 predictions and 2 batches a minute, and read about the model without a limit.
///
/// By hand: a dictionary of counters keyed by `X-Forwarded-For`. A client that writes the header itself gets fresh
/// counters, the dictionary never shrinks, and two concurrent requests read the same count.
///
/// Here the client is the peer's address unless a proxy that the policy trusts names a different one. Memory is
/// bounded, and a decision is atomic.
enum PerClientAndEndpoint: Example {
    static let title = "per client and endpoint, in memory"

    static func router(_ surroundings: Surroundings) throws -> Router<RemoteAddressContext> {
        let limiter = try RequestLimiter(policy: Policy(limits: []), clock: surroundings.clock)
        let router = Router(context: RemoteAddressContext.self)
        try router.rateLimited("predict", to: .perMinute(10), by: .client, using: limiter)
            .post("predict") { try await predict($0, $1, "small") }
        try router.rateLimited("batch-predict", to: .perMinute(2), by: .client, using: limiter)
            .post("batch-predict") { try await predict($0, $1, "small") }
        router.get("model-info") { _, _ in "a model that counts letters" }
        return router
    }
}
