import Hummingbird
import Weir
import WeirHTTP
import WeirHummingbird

/// Protects a downstream service from bursts: requests to it are 100 ms apart. Each waits up to a second for its turn,
/// and is denied at once if it would wait longer.
///
/// By hand: `sleep(0.1)` in the handler, which delays every request and spaces none. Or an unbounded queue, which a
/// burst fills for minutes.
///
/// Here a request gets a slot or a 429, and the slots are exactly 100 ms apart. The app's own calls, here to an
/// archive, wait in line with `acquire`.
enum SteadyDownstream: Example {
    static let title = "leaky bucket in front of a downstream that must not see bursts"

    static func router(_ surroundings: Surroundings) throws -> Router<ClientContext> {
        let limiter = try RequestLimiter(policy: Policy(limits: []), clock: surroundings.clock)
        let router = Router(context: ClientContext.self)
        var downstream = LimitRule(
            "downstream", try Rate(10, per: 1_000_000), by: [.global], algorithm: .leakyBucket)
        downstream.maxWait = 1_000_000
        try router.limited(downstream, in: limiter).post("predict") { try await predict($0, $1, "small") }
        let archive = Limiter(
            try Limit("archive", Rate(1, per: 50_000)), store: MemoryStore(clock: surroundings.clock))
        router.post("jobs") { _, _ in
            for _ in 0..<3 { try await archive.acquire("archive") }
            return "three calls, each in its turn"
        }
        return router
    }
}
