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

    static func router(_ surroundings: Surroundings) throws -> Router<RemoteAddressContext> {
        let limiter = try RequestLimiter(policy: Policy(limits: []), clock: surroundings.clock)
        let router = Router(context: RemoteAddressContext.self)
        var downstream = LimitRule(
            "downstream", .perSecond(10), by: [.global], algorithm: .leakyBucket)
        downstream.maxWait = .seconds(1)
        try router.rateLimited(downstream, using: limiter).post("predict") { try await predict($0, $1, "small") }
        let archive = Limiter(
            try Limit("archive", Rate(1, per: .milliseconds(50))), store: MemoryStore(clock: surroundings.clock))
        router.post("jobs") { _, _ in
            for _ in 0..<3 { try await archive.acquire("archive") }
            return "three calls, each in its turn"
        }
        return router
    }
}
