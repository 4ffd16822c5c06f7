import Foundation
import Logging
import TestSupport
import Testing
import Weir
import WeirTesting

@testable import WeirRedis

/// All tests that start servers, one after another.
@Suite("Redis", .serialized)
enum Redis {}

/// A store that is ready.
func makeStore(
    _ url: String, _ change: (inout RedisConfiguration) -> Void = { _ in }
) async throws -> RedisStore {
    var options = try RedisConfiguration(url: url)
    options.decisionTimeout = .seconds(2)
    change(&options)
    var logger = Logger(label: "test")
    logger.logLevel = .critical
    let store = try RedisStore(options, logger: logger)
    store.start()
    try await store.waitUntilReady(timeout: .seconds(10))
    return store
}

/// Puts a store through the suite that every store must pass, each case under keys of its own.
func checkConformance(_ url: String) async throws {
    for (index, rule) in StoreConformance.cases.enumerated() {
        let clock = ManualClock(atTicks: 1_790_000_000_000_000)
        let store = try await makeStore(url) {
            $0.clock = clock
            $0.keyPrefix = "case-\(index):"
            $0.cachesDenials = false
            $0.slack = 3_600_000
            // The clock jumps further than anything is renewed.
            $0.permitLease = .seconds(86400)
        }
        do {
            try await rule.run(on: store, clock)
        } catch {
            Issue.record("\(rule): \(error)")
        }
        store.close()
    }
}

extension Redis {
    @Suite("The shared store, on one server", .serialized)
    struct SingleTests {
        @Test(
            "conforms, whether it is Redis, an old Redis, or Valkey",
            arguments: [RedisServer.Product.redis, .redis62, .valkey])
        func conforms(_ product: RedisServer.Product) async throws {
            let server = try await RedisServer(try Folder(), product)
            try await checkConformance(server.url)
        }
    }
}
