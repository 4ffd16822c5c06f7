import Foundation
import HTTPTypes
import Hummingbird
import HummingbirdTesting
import Logging
import ServiceLifecycle
import Synchronization
import TestSupport
import Testing
import WeirHTTP
import WeirHummingbird
import WeirTesting

extension InApp {
    @Suite("A policy that changes while the app runs", .serialized)
    struct ReloadTests {
        private func policy(_ yaml: String) throws -> Policy { try Policy(yaml: yaml, environment: [:]) }

        private func ask(_ client: any TestClientProtocol, _ path: String) async throws -> (Int, String?, String?) {
            let answer = try await client.execute(uri: path, method: .get)
            func header(_ name: String) -> String? { HTTPField.Name(name).flatMap { answer.headers[$0] } }
            return (answer.status.code, header("RateLimit-Policy"), header("X-RateLimit-Remaining"))
        }

        @Test("keeps counters and routes' own limits, and charges all of them or none")
        func reload() async throws {
            let limiter = try RequestLimiter(
                policy: policy("limits: [{name: all, rate: 10/hour}]"), clock: ManualClock())
            let router = Router(context: RemoteAddressContext.self)
            router.add(middleware: RateLimitMiddleware(limiter))
            try router.rateLimited("own", to: .perHour(2), using: limiter).get("own") { _, _ in "own" }
            router.get("a") { _, _ in "a" }
            try await Application(router: router).test(.router) {
                (client: any TestClientProtocol) async throws -> Void in
                #expect(try await ask(client, "/own") == (200, "\"all\";q=10;w=3600, \"own\";q=2;w=3600", "1"))
                try limiter.reload(policy("limits: [{name: all, rate: 6/hour}, {name: new, rate: 50/hour}]"))
                let both = "\"all\";q=6;w=3600, \"new\";q=50;w=3600, \"own\";q=2;w=3600"
                #expect(try await ask(client, "/own") == (200, both, "0"))
                #expect(try await ask(client, "/own") == (429, both, "0"))
                // Two units of "all" are used, and the denial took none.
                #expect(try await ask(client, "/a").2 == "3")
            }
        }

        @Test("changes the names of headers for requests that begin later")
        func headers() async throws {
            let limiter = try RequestLimiter(
                policy: policy("limits: [{name: all, rate: 10/hour}]"), clock: ManualClock())
            let router = Router(context: RemoteAddressContext.self)
            router.add(middleware: RateLimitMiddleware(limiter))
            router.get("a") { _, _ in "a" }
            try await Application(router: router).test(.router) {
                (client: any TestClientProtocol) async throws -> Void in
                _ = try await client.execute(uri: "/a", method: .get)
                try limiter.reload(
                    policy("headers: {names: {ratelimit_policy: Quotas}}\nlimits: [{name: all, rate: 10/hour}]"))
                let answer = try await client.execute(uri: "/a", method: .get)
                #expect(answer.headers[HTTPField.Name("Quotas")!] == "\"all\";q=10;w=3600")
                #expect(answer.headers[HTTPField.Name("RateLimit-Policy")!] == nil)
            }
        }

        @Test("a warm-up that comes after the app is ready is over, and one of a refused policy changes nothing")
        func warmUps() async throws {
            @Sendable func warming(_ name: String, _ until: String) -> String {
                "limits: [{name: \(name), rate: 10/hour, warm_up: {factor: 0.1, until: {path: \(until)}}}, {name: kept, rate: 99/hour}]"
            }
            let limiter = try RequestLimiter(policy: policy(warming("a", "/one")), clock: ManualClock())
            let router = Router(context: RemoteAddressContext.self)
            router.add(middleware: RateLimitMiddleware(limiter))
            try router.rateLimited("kept", using: limiter).get("k") { _, _ in "k" }
            router.get("a") { _, _ in "a" }
            #expect(throws: PolicyError.self) {
                try limiter.reload(
                    policy("limits: [{name: a, rate: 10/hour, warm_up: {factor: 0.1, until: {path: /two}}}]"))
            }
            limiter.endWarmUp()
            try await Application(router: router).test(.router) {
                (client: any TestClientProtocol) async throws -> Void in
                for _ in 0..<3 { #expect(try await client.execute(uri: "/a", method: .get).status == .ok) }
                try limiter.reload(policy(warming("late", "/three")))
                for _ in 0..<3 { #expect(try await client.execute(uri: "/a", method: .get).status == .ok) }
            }
        }

        @Test("is refused if a route's own limit couldn't be kept, and the one before stays")
        func refused() async throws {
            let limiter = try RequestLimiter(policy: policy("limits: [{name: a, rate: 1/hour, match: none}]"))
            let router = Router(context: RemoteAddressContext.self)
            try router.rateLimited("own", to: .perHour(2), using: limiter).get("own") { _, _ in "own" }
            try router.rateLimited("a", using: limiter).get("a") { _, _ in "own" }
            for (yaml, word) in [
                ("limits: [{name: own, rate: 1/hour}, {name: a, rate: 1/hour}]", "'own' is a route's in code already"),
                ("limits: [{name: b, rate: 1/hour}]", "a route has the limit 'a', which the policy doesn't have"),
            ] {
                let error = #expect(throws: PolicyError.self) { try limiter.reload(policy(yaml)) }
                #expect(error?.description.contains(word) == true, "\(error?.description ?? "")")
            }
            #expect(try limiter.verify(router).unlimited.isEmpty)
        }

        @Test("is read again by the service when the file changes, and a faulty file changes nothing")
        func file() async throws {
            let folder = try Folder()
            let path = try folder.write("limits: [{name: all, rate: 10/hour}]", "weir.yaml")
            let limiter = try RequestLimiter(policy: Policy(contentsOf: path))
            let service = RateLimitService(limiter, reloading: path, environment: [:], logger: quiet)
            let group = ServiceGroup(services: [service], logger: quiet)
            try await withThrowingTaskGroup(of: Void.self) { tasks in
                tasks.addTask { try await group.run() }
                try await Task.sleep(for: .milliseconds(1200))
                _ = try folder.write("limits: [{name: all, rate: 10/hour, mod: shadow}]", "weir.yaml")
                try await Task.sleep(for: .milliseconds(1200))
                #expect(limiter.current.limitNames == ["all"])
                _ = try folder.write("limits: [{name: all, rate: 10/hour}, {name: more, rate: 1/s}]", "weir.yaml")
                try await until("the policy is in force") { limiter.current.limitNames == ["all", "more"] }
                await group.triggerGracefulShutdown()
                try await tasks.waitForAll()
            }
        }
    }

    @Suite("In an app as in the gateway", .serialized)
    struct AppTests {
        @Test("a proxy on a Unix socket is trusted if the policy says so, and no peer without an address else")
        func unixSocket() async throws {
            for (trusted, expected) in [("[unix]", [200, 200, 200, 429]), ("[127.0.0.1]", [200, 429, 429, 429])] {
                let limiter = try RequestLimiter(
                    policy: Policy(yaml: "trusted_proxies: \(trusted)\nlimits: [{name: a, rate: 1/hour}]"),
                    clock: ManualClock())
                let router = Router(context: RemoteAddressContext.self)
                router.add(middleware: RateLimitMiddleware(limiter))
                router.get("/") { _, _ in "ok" }
                let folder = try Folder()
                let socket = folder.url.appending(path: "app.sock").path
                let running = Mutex(false)
                let app = Application(
                    router: router, configuration: .init(address: .unixDomainSocket(path: socket)),
                    onServerRunning: { _ in running.withLock { $0 = true } }, logger: quiet)
                let group = ServiceGroup(services: [app], logger: quiet)
                try await withThrowingTaskGroup(of: Void.self) { tasks in
                    tasks.addTask { try await group.run() }
                    try await until("it listens") { running.withLock { $0 } }
                    var statuses: [Int] = []
                    for client in ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.1"] {
                        let curl = try Program(
                            "/usr/bin/curl",
                            [
                                "-s", "-o", "/dev/null", "-w", "%{http_code}", "--unix-socket", socket, "-H",
                                "X-Forwarded-For: \(client)", "http://app/",
                            ],
                            in: folder)
                        #expect(try await curl.wait() == 0)
                        statuses.append(Int(curl.log.suffix(3)) ?? 0)
                    }
                    #expect(statuses == expected)
                    await group.triggerGracefulShutdown()
                    try await tasks.waitForAll()
                }
            }
        }

        @Test(
            "paths that the router accepts are accepted, and no spelling of one evades its limit",
            arguments: [
                "/items/a%2Fb", "/items/a%252Fb", "/items/50%", "/items/a%00b", "/items/a%5Cb", "/items/..;",
                "/items/%zz",
            ])
        func paths(_ path: String) async throws {
            let limiter = try RequestLimiter(
                policy: Policy(yaml: "limits: [{name: a, rate: 1/hour, match: {path: '/items/{id}'}}]"),
                clock: ManualClock())
            let router = Router(context: RemoteAddressContext.self)
            router.add(middleware: RateLimitMiddleware(limiter))
            router.get("items/:id") { _, _ in "ok" }
            try await withServer(router.buildResponder()) { (port: Int) async throws -> Void in
                #expect(try await exchangeApart(port, "GET", path).status == 200)
                #expect(try await exchangeApart(port, "GET", path).status == 429)
            }
        }

        @Test("a policy that says 'strict' refuses them")
        func strict() async throws {
            let limiter = try RequestLimiter(policy: Policy(yaml: "paths: strict\nlimits: [{name: a, rate: 1/hour}]"))
            let router = Router(context: RemoteAddressContext.self)
            router.add(middleware: RateLimitMiddleware(limiter))
            router.get("items/:id") { _, _ in "ok" }
            try await withServer(router.buildResponder()) { (port: Int) async throws -> Void in
                #expect(try await exchangeApart(port, "GET", "/items/a%2Fb").status == 400)
            }
        }

        @Test("one middleware at two levels is found, and its requests are refused")
        func nestedInItself() async throws {
            let limiter = try RequestLimiter(policy: Policy(limits: [LimitRule("a", .perHour(9))]))
            let router = Router(context: RemoteAddressContext.self)
            let middleware = RateLimitMiddleware<RemoteAddressContext>(limiter)
            router.add(middleware: middleware)
            router.group("api").add(middleware: middleware).get("a") { _, _ in "a" }
            router.get("b") { _, _ in "b" }
            try await Application(router: router, logger: quiet).test(.router) {
                (client: any TestClientProtocol) async throws -> Void in
                #expect(try await client.execute(uri: "/api/a", method: .get).status == .internalServerError)
                #expect(try await client.execute(uri: "/b", method: .get).status == .ok)
            }
        }

        @Test("a limiter may build several routers, as each test of an app does")
        func severalRouters() async throws {
            let limiter = try RequestLimiter(policy: Policy(limits: []), clock: ManualClock())
            for remaining in ["1", "0"] {
                let router = Router(context: RemoteAddressContext.self)
                try router.rateLimited("own", to: .perHour(2), using: limiter).get("a") { _, _ in "a" }
                try await Application(router: router).test(.router) {
                    (client: any TestClientProtocol) async throws -> Void in
                    let answer = try await client.execute(uri: "/a", method: .get)
                    #expect(answer.headers[HTTPField.Name("X-RateLimit-Remaining")!] == remaining)
                }
            }
        }

        @Test("which pages may read a denial is the app's affair", arguments: [false, true])
        func crossOrigin(isBehind: Bool) async throws {
            let limiter = try RequestLimiter(policy: Policy(limits: [LimitRule("a", .perHour(1))]))
            let router = Router(context: RemoteAddressContext.self)
            let cors = CORSMiddleware<RemoteAddressContext>(allowOrigin: .oneOf("https://good.example"))
            if !isBehind { router.add(middleware: cors) }
            router.add(middleware: RateLimitMiddleware(limiter))
            if isBehind { router.add(middleware: cors) }
            router.get("/") { _, _ in "ok" }
            try await Application(router: router).test(.router) {
                (client: any TestClientProtocol) async throws -> Void in
                for origin in ["https://good.example", "https://good.example", "https://evil.example"] {
                    let answer = try await client.execute(uri: "/", method: .get, headers: [.origin: origin])
                    let allowed = answer.headers[.accessControlAllowOrigin]
                    #expect(allowed != "https://evil.example")
                    if !isBehind, origin == "https://good.example" { #expect(allowed == origin) }
                }
            }
        }

        @Test("keys of the policy that mean nothing in an app are named")
        func gatewayKeys() throws {
            let policy = try Policy(
                yaml: """
                    listen: 0.0.0.0:80
                    upstream: http://127.0.0.1:8000
                    admin: 127.0.0.1:9090
                    threads: 2
                    gateway: {idle_timeout: 5s, max_delayed: 3}
                    limits: [{name: a, rate: 1/hour}]
                    """)
            #expect(
                policy.unusedInApps == [
                    "the policy's 'listen', 'admin', 'upstream', 'threads', 'gateway: idle_timeout' mean nothing in an app, only to weir serve"
                ])
            #expect(try Policy(yaml: "limits: [{name: a, rate: 1/hour}]").unusedInApps == [])
        }
    }
}
