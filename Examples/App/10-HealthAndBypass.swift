import Hummingbird
import Logging
import Synchronization
import Weir
import WeirHTTP
import WeirHummingbird

/// Health checks are free, operators can bypass the limits in an emergency, and denials are logged separately and
/// counted for each endpoint.
///
/// By hand: `if "/health" in str(request.url)`, which also holds for `/predict?x=/health`. A bypass key that is
/// compared byte by byte and logged in plain text. Denials that nobody notices until a customer calls.
///
/// Here the exemption is by path, and the secret is compared in constant time. A denial names the limit, the route and,
/// as a hash, the client.
enum HealthAndBypass: Example {
    static let title = "health checks exempt, an emergency bypass, denials logged separately and counted"

    final class Denials: Sendable {
        private let counts = Mutex<[String: Int]>([:])
        private let logger: Logger

        init(_ logger: Logger) { self.logger = logger }

        func note(_ denial: Denial) {
            counts.withLock { $0["\(denial.method) \(denial.route ?? "-")", default: 0] += 1 }
            logger.notice(
                "denied",
                metadata: [
                    "limits": "\(denial.limits.joined(separator: ","))", "route": "\(denial.route ?? "-")",
                    "client": "\(denial.client)",
                ])
        }

        var text: String {
            counts.withLock { $0.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)\n" }.joined() }
        }
    }

    static func router(_ surroundings: Surroundings) throws -> Router<RemoteAddressContext> {
        let denials = Denials(surroundings.denials)
        let router = Router(context: RemoteAddressContext.self)
        router.add(
            middleware: RateLimitMiddleware(
                try surroundings.limiter("10-bypass"),
                onDenied: { denial, _, _ in
                    if denial.status == 429 { denials.note(denial) }
                    return nil  // Weir's own answer
                }))
        router.addModel("predict", "small")
        router.get("health") { _, _ in "ok" }
        router.get("denials") { _, _ in denials.text }
        return router
    }
}
