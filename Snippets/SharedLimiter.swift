// A limit shared by several processes, for calls to a third-party API.

import Logging
import ServiceLifecycle
import Weir
import WeirRedis

// snippet.shared
let redis = try RedisStore(RedisConfiguration(url: "redis://127.0.0.1:6379"))
// The store runs as a service beside the app.
let services = ServiceGroup(services: [redis], logger: Logger(label: "worker"))
let running = Task { try await services.run() }
try await redis.waitUntilReady(timeout: .seconds(5))
let geocoder = SharedLimiter(try Limit("geocoder", .perSecond(50)), store: redis)
do {
    try await geocoder.acquire("our account", timeout: .seconds(10))
    print("called")
} catch let error as AcquireError where error.code == .timedOut {
    print("not now")
}
await services.triggerGracefulShutdown()
try await running.value
// snippet.end
