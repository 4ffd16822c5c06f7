import Foundation
import Logging
import ServiceLifecycle
import Synchronization
import TestSupport
import Testing
import Weir

@testable import WeirRedis

extension Redis {
    @Suite("A store beside an app", .serialized)
    struct ServiceTests {
        private func configuration(_ url: String) throws -> RedisConfiguration {
            var configuration = try RedisConfiguration(url: url)
            configuration.heartbeat = .milliseconds(100)
            return configuration
        }

        private func store(_ configuration: RedisConfiguration) throws -> RedisStore {
            try RedisStore(configuration, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        }

        /// Runs a store as a service while `body` runs.
        private func running(_ store: RedisStore, _ body: (RedisStore) async throws -> Void) async throws {
            let group = ServiceGroup(services: [store], logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
            try await withThrowingTaskGroup(of: Void.self) { tasks in
                tasks.addTask { try await group.run() }
                try await body(store)
                await group.triggerGracefulShutdown()
                try await tasks.waitForAll()
            }
        }

        @Test("it connects when it runs, and tells the others when it leaves")
        func runs() async throws {
            let server = try await RedisServer(try Folder())
            let other = try store(configuration(server.url))
            other.start()
            try await other.waitUntilReady(timeout: .seconds(10))
            let limit = try Limit("a", .perMinute(5))
            let own = try store(configuration(server.url))
            let limiter = SharedLimiter(limit, store: own)
            await #expect(throws: StoreError.self, "it doesn't run yet") { try await limiter.attempt("k") }
            try await running(own) { own in
                try await own.waitUntilReady(timeout: .seconds(10))
                #expect(try await limiter.attempt("k").remaining == 4)
                try await until("both are counted") { other.instances == 2 && own.instances == 2 }
            }
            #expect(try server.ask("ZCARD", "weir:instances") == "1")
            try await until("the other one knows") { other.instances == 1 }
            await #expect(throws: StoreError.self, "it is closed") { try await limiter.attempt("k") }
            other.close()
        }

        @Test("a password may change: each connection asks for it")
        func password() async throws {
            let server = try await RedisServer(try Folder())
            try server.ask("CONFIG", "SET", "requirepass", "first")
            let password = Mutex("first")
            var configuration = try configuration(server.url)
            configuration.password = { password.withLock { $0 } }
            try await running(try store(configuration)) { store in
                try await store.waitUntilReady(timeout: .seconds(10))
                let limiter = SharedLimiter(try Limit("a", .perHour(50)), store: store)
                #expect(try await limiter.attempt("k").isAllowed)
                try server.ask("-a", "first", "CONFIG", "SET", "requirepass", "second")
                password.withLock { $0 = "second" }
                try server.ask("-a", "second", "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
                try await until("it is connected again") { (try? await limiter.attempt("k")) != nil }
            }
        }

        @Test("a password that can't be had is the reason why the store isn't ready")
        func noPassword() async throws {
            struct Refused: Error {}
            let server = try await RedisServer(try Folder())
            var configuration = try configuration(server.url)
            configuration.password = { throw Refused() }
            try await running(try store(configuration)) { store in
                let error = await #expect(throws: StoreError.self) {
                    try await store.waitUntilReady(timeout: .milliseconds(300))
                }
                #expect(error?.description.contains("the password for the store can't be had: Refused()") == true)
            }
        }

        @Test("sentinels may want a password of their own")
        func sentinelPassword() async throws {
            let folder = try Folder()
            let master = try await RedisServer(folder)
            let port = try freePort()
            let file = try folder.write(
                """
                port \(port)
                bind 127.0.0.1
                dir \(folder.url.path)
                requirepass of-sentinels
                sentinel monitor weir 127.0.0.1 \(master.port) 1
                """, "sentinel.conf")
            let sentinel = try Program("/usr/bin/redis-sentinel", [file], in: folder)
            let url = "redis+sentinel://127.0.0.1:\(port)/weir"
            try await running(try store(configuration("\(url)?sentinel_password=of-sentinels"))) { store in
                try await store.waitUntilReady(timeout: .seconds(10))
                let limiter = SharedLimiter(try Limit("a", .perHour(5)), store: store)
                #expect(try await limiter.attempt("k").remaining == 4)
            }
            try await running(try store(configuration(url))) { store in
                let error = await #expect(throws: StoreError.self) {
                    try await store.waitUntilReady(timeout: .milliseconds(700))
                }
                #expect(error?.description.contains("password") == true, "\(error?.description ?? "")")
            }
            sentinel.signal(SIGKILL)
            _ = try await sentinel.wait()
        }
    }
}
