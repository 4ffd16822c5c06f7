// An app whose instances share their counters in Redis or Valkey.

import Hummingbird
import WeirHummingbird
import WeirRedis

// snippet.redis
func run() async throws {
    var configuration = try RedisConfiguration(url: "rediss://weir@cache.example.com:6380")
    configuration.password = { try await currentPassword() }  // asked whenever a connection is opened
    let store = try RedisStore(configuration)

    let limiter = try RequestLimiter(policy: Policy(contentsOf: "weir.yaml"), store: store)
    let router = Router(context: RemoteAddressContext.self)
    router.add(middleware: RateLimitMiddleware(limiter))
    router.get("/") { _, _ in "hello" }

    var app = Application(router: router)
    // In this order: the store outlives the app's last requests.
    app.addServices(store, RateLimitService(limiter, reloading: "weir.yaml"))
    app.beforeServerStarts {
        // Without this, requests before the store answers are decided as the policy's 'on_store_failure' says.
        try await store.waitUntilReady(timeout: .seconds(5))
    }
    try await app.runService()
}
// snippet.end

func currentPassword() async throws -> String { "secret" }
