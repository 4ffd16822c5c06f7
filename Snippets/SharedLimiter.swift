// A limit shared by several processes, for calls to a third-party API.

import Weir
import WeirRedis

// snippet.shared
let redis = try RedisStore(try RedisAddress("redis://127.0.0.1:6379"))
try await redis.waitUntilReady(timeout: 5_000_000)
let geocoder = SharedLimiter(try Limit("geocoder", .perSecond(50)), store: redis)
do {
    try await geocoder.acquire("our account", within: 10_000_000)
    print("called")
} catch let error as AcquireError where error.code == .late {
    print("not now")
}
redis.close()
// snippet.end
