import Foundation
import Hummingbird
import HummingbirdRouter
import Logging
import NIOCore
import Synchronization
import TestSupport
import Testing
import Weir
import WeirHTTP
import WeirHummingbird
import WeirTesting

extension InApp {
    @Suite("Limits in code", .serialized)
    struct RouteLimitTests {
        private func limiter(_ limits: [LimitRule] = []) throws -> RequestLimiter {
            try RequestLimiter(policy: Policy(limits: limits), clock: ManualClock())
        }

        @Test(
            "a limit of a route, of a group, and of the whole app are charged together or not at all, and told together"
        )
        func nested() async throws {
            let limiter = try limiter([LimitRule("app", .perHour(100))])
            let router = Router(context: RemoteAddressContext.self)
            router.add(middleware: RateLimitMiddleware(limiter))
            let models = try router.group("models").rateLimited("models", to: .perHour(50), using: limiter)
            try models.rateLimited("predict", to: .perHour(2), by: .client, using: limiter).post("predict") { _, _ in
                "yes"
            }
            models.get("info") { _, _ in "free of 'predict'" }
            router.get("/") { _, _ in "home" }
            try await withServer(router.buildResponder()) { (port: Int) async throws -> Void in
                for left in [1, 0] {
                    let answer = try await exchangeApart(port, "POST", "/models/predict")
                    #expect(answer.status == 200)
                    #expect(
                        answer["RateLimit-Policy"]
                            == "\"app\";q=100;w=3600, \"models\";q=50;w=3600, \"predict\";q=2;w=3600")
                    #expect(answer["RateLimit"]?.hasPrefix("\"predict\";r=\(left);") == true)
                    #expect(answer.headers.filter { $0.name == "ratelimit" }.count == 1)
                }
                let denied = try await exchangeApart(port, "POST", "/models/predict")
                #expect(denied.status == 429 && denied["RateLimit"]?.hasPrefix("\"predict\";r=0;") == true)
                #expect(try denied.json["violated-policies"] as? [String] == ["predict"])
                let info = try await exchangeApart(port, "GET", "/models/info")
                #expect(info["RateLimit-Policy"] == "\"app\";q=100;w=3600, \"models\";q=50;w=3600")
                #expect(
                    info["RateLimit"]?.hasPrefix("\"models\";r=47;") == true, "two and this one, not the denied one")
                let home = try await exchangeApart(port, "GET", "/")
                #expect(home["X-RateLimit-Remaining"] == "96", "the denied request was given back")
            }
        }

        @Test(
            "a middleware of another policy between the app's and a route's doesn't part these",
            arguments: [false, true])
        func between(hasRoutesOfItsOwn: Bool) async throws {
            let limiter = try limiter([LimitRule("app", .perHour(100))])
            let other = try RequestLimiter(
                policy: Policy(yaml: "limits: [{name: other, rate: 99/minute, cost: {json: /n, max: 9}}]"),
                clock: ManualClock())
            let router = Router(context: RemoteAddressContext.self)
            router.add(middleware: RateLimitMiddleware(limiter))
            router.add(middleware: RateLimitMiddleware(other))
            if hasRoutesOfItsOwn {
                try router.rateLimited("own", to: .perHour(9), using: other).get("own") { _, _ in "own" }
            }
            try router.rateLimited("predict", to: .perHour(1), by: .client, using: limiter).post("predict") {
                request, _ in
                String(buffer: try await request.body.collect(upTo: 100))
            }
            router.get("/") { _, _ in "home" }
            try await withServer(router.buildResponder()) { (port: Int) async throws -> Void in
                let first = try await exchangeApart(port, "POST", "/predict", body: #"{"n": 2}"#)
                #expect(first.status == 200 && first.unchunked == #"{"n": 2}"#)
                #expect(try await exchangeApart(port, "POST", "/predict", body: #"{"n": 2}"#).status == 429)
                let home = try await exchangeApart(port, "GET", "/")
                #expect(home["X-RateLimit-Remaining"] == "98", "the denied request was given back")
            }
        }

        @Test("the app names the client and its tier, from whatever its context knows")
        func clients() async throws {
            var policy = try Policy(limits: [
                LimitRule(
                    name: "a",
                    allowance: .perTier(["free": .rates([.perHour(1)]), "pro": .rates([.perHour(2)])]))
            ])
            policy.tiers = TierRules(default: "free")
            let limiter = try RequestLimiter(policy: policy, clock: ManualClock())
            let router = Router(context: RemoteAddressContext.self)
            router.add(
                middleware: RateLimitMiddleware(limiter) { request, _ in
                    request.headers[.authorization].map { AppClient($0, tier: $0.hasPrefix("pro") ? "pro" : nil) }
                })
            router.get("/") { _, _ in "home" }
            try await withServer(router.buildResponder()) { (port: Int) async throws -> Void in
                func ask(_ user: String?) async throws -> Int {
                    try await exchangeApart(port, "GET", "/", headers: user.map { ["Authorization": $0] } ?? [:]).status
                }
                #expect(
                    try await [ask("alice"), ask("alice"), ask("bob"), ask(nil), ask(nil)] == [200, 429, 200, 200, 429])
                #expect(try await [ask("pro-carol"), ask("pro-carol"), ask("pro-carol")] == [200, 200, 429])
            }
        }

        @Test("peers are told apart by their address, of IPv6 by its first 64 bits; those without one share a budget")
        func peers() async throws {
            let limiter = try limiter([LimitRule("a", .perHour(1))])
            let router = Router(context: RemoteAddressContext.self)
            let peer = Mutex<SocketAddress?>(nil)
            router.add(middleware: RateLimitMiddleware(limiter, peer: { _ in peer.withLock { $0 } }))
            router.get("/") { _, _ in "home" }
            try await withServer(router.buildResponder()) { (port: Int) async throws -> Void in
                func ask(_ address: String?) async throws -> Int {
                    try peer.withLock { $0 = try address.map { try SocketAddress(ipAddress: $0, port: 1) } }
                    return try await exchangeApart(port, "GET", "/").status
                }
                #expect(try await [ask("192.0.2.1"), ask("192.0.2.2"), ask("192.0.2.1")] == [200, 200, 429])
                #expect(
                    try await [ask("2001:db8::1"), ask("2001:db8::2"), ask("2001:db8:0:1::1")] == [200, 429, 200])
                #expect(try await [ask(nil), ask(nil)] == [200, 429])
                try peer.withLock { $0 = try SocketAddress(unixDomainSocketPath: "/socket") }
                #expect(try await exchangeApart(port, "GET", "/").status == 429)
            }
        }

        @Test("a permit is held as long as the response's body is written, and is free when the client goes away")
        func permits() async throws {
            let limiter = try limiter([LimitRule("flight", concurrency: 1, by: [.global])])
            let router = Router(context: RemoteAddressContext.self)
            router.add(middleware: RateLimitMiddleware(limiter))
            let (gate, open) = AsyncStream.makeStream(of: Void.self)
            router.get("slow") { _, _ in
                Response(
                    status: .ok,
                    body: ResponseBody { writer in
                        try await writer.write(ByteBuffer(string: "begun"))
                        for await _ in gate { break }
                        try await writer.write(ByteBuffer(string: "done"))
                        try await writer.finish(nil)
                    })
            }
            router.get("endless") { _, _ in
                Response(
                    status: .ok,
                    body: ResponseBody { writer in
                        while true { try await writer.write(ByteBuffer(repeating: 0, count: 65_536)) }
                    })
            }
            router.get("/") { _, _ in "home" }
            try await withServer(router.buildResponder()) { (port: Int) async throws -> Void in
                let connection = try Connection(port)
                try connection.send("GET /slow HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                _ = try connection.read(until: "begun")
                let denied = try await exchangeApart(port, "GET", "/")
                #expect(denied.status == 429 && denied["Retry-After"] == "1")
                open.yield()
                _ = try connection.read(until: "done")
                try await until("the permit is free") {
                    try await exchangeApart(port, "GET", "/").status == 200
                }
                do {
                    let leaver = try Connection(port)
                    try leaver.send("GET /endless HTTP/1.1\r\nHost: a\r\n\r\n")
                    _ = try leaver.read(until: "200")
                    #expect(try await exchangeApart(port, "GET", "/").status == 429)
                }
                try await until("the permit is free again") {
                    try await exchangeApart(port, "GET", "/").status == 200
                }
            }
        }

        @Test("an app with the middleware builds nothing of the gateway's")
        func dependencies() throws {
            let package = try String(contentsOf: packageFolder.appending(path: "Package.swift"), encoding: .utf8)
            func dependencies(of target: String) throws -> [String] {
                let start = try #require(package.firstRange(of: "name: \"\(target)\",\n            dependencies: ["))
                let rest = package[start.upperBound...]
                let end = try #require(rest.firstRange(of: "],"))
                return rest[..<end.lowerBound].matches(of: /"(?:[A-Za-z-]+)"/).map { String($0.output) }
            }
            let own = try dependencies(of: "WeirHummingbird").joined()
            for other in [
                "WeirServer", "WeirRedis", "WeirJWT", "WeirCLI", "NIOSSL", "Crypto", "JWTKit", "ArgumentParser",
            ] {
                #expect(!own.contains("\"\(other)\""), "\(own)")
            }
            #expect(own.contains("\"WeirHTTP\""))
            #expect(try !dependencies(of: "WeirHTTP").joined().contains("NIO"))
        }

        @Test("a body that two limits would read, and is too long for both, reaches the handler whole")
        func longBodies() async throws {
            let policy = try Policy(
                yaml:
                    "body_limit: 1000\nlimits: [{name: a, rate: 99/minute, cost: {json: /n, max: 9}}]")
            let limiter = try RequestLimiter(policy: policy, clock: ManualClock())
            let router = Router(context: RemoteAddressContext.self)
            router.add(middleware: RateLimitMiddleware(limiter))
            var rule = LimitRule("b", .perMinute(99))
            rule.cost = policy.limits[0].cost
            try router.rateLimited(rule, using: limiter).post("/") { request, _ in
                try await request.body.consumeWithCancellationOnInboundClose { body in
                    var count = 0
                    for try await part in body { count += part.readableBytes }
                    return "\(count)"
                }
            }
            try await withServer(router.buildResponder()) { (port: Int) async throws -> Void in
                let answer = try await exchangeApart(port, "POST", "/", body: String(repeating: "x", count: 300_000))
                #expect(answer.unchunked == "300000")
                #expect(answer["RateLimit"]?.hasPrefix("\"a\";r=90;") == true)
            }
        }

        @Test("a body that finds no room in body_memory gets a 503, and takes no room from the next")
        func bodyMemory() async throws {
            let policy = try Policy(
                yaml:
                    "gateway: {body_memory: 1000}\nlimits: [{name: a, rate: 99/minute, cost: {json: /n, max: 9}}]")
            let router = Router(context: RemoteAddressContext.self)
            router.add(middleware: RateLimitMiddleware(try RequestLimiter(policy: policy, clock: ManualClock())))
            router.post("/") { _, _ in "ok" }
            try await withServer(router.buildResponder()) { (port: Int) async throws -> Void in
                for (count, status) in [(1001, 503), (1000, 200), (1001, 503), (1000, 200)] {
                    let body = String(repeating: "x", count: count)
                    #expect(try await exchangeApart(port, "POST", "/", body: body).status == status)
                }
            }
        }

        @Test("mistakes are errors at start that name them")
        func mistakes() throws {
            #expect(throws: LimitError.self) { try LimitRule("zero", Rate(0, per: .seconds(60))) }
            let limiter = try limiter([LimitRule("a", .perMinute(1))])
            let router = Router(context: RemoteAddressContext.self)
            _ = try router.rateLimited("b", to: .perMinute(1), using: limiter)
            for name in ["a", "b", "no good"] {
                let error = #expect(throws: PolicyError.self) {
                    try router.rateLimited(name, to: .perMinute(2), using: limiter)
                }
                #expect(error?.description.contains("'\(name)'") == true)
            }
            #expect(throws: PolicyError.self) {
                try Policy(limits: [LimitRule("a", .perMinute(1)), LimitRule("a", .perHour(1))])
            }
            func refuses(_ rule: LimitRule, _ word: String) throws {
                let error = #expect(throws: PolicyError.self) {
                    try RequestLimiter(policy: Policy(limits: [rule]))
                }
                #expect(error?.description.contains("limit 'x': \(word)") == true, "\(error?.description ?? "")")
                #expect(throws: PolicyError.self) { try router.rateLimited(rule, using: limiter) }
            }
            let rate = Rate.perMinute(5)
            try refuses(LimitRule("x"), "a limit needs a 'rate'")
            try refuses(LimitRule("x", rate, by: []), "'key' needs at least one dimension")
            try refuses(LimitRule("x", rate, by: [.parameter("id")]), "no path of this limit's match has a '{id}'")
            try refuses(
                LimitRule(name: "x", allowance: .perTier(["a": .rates([rate])])), "a 'rate' by tier needs 'tiers'")
            var rule = LimitRule("x", rate)
            for (cost, word) in [
                (CostRule.fixed(6), "a cost of 6 is above the limit's capacity of 5"),
                (.fixed(-9), "a cost of -9 is below 0"),
                (.request(.query("n"), fallback: 1, max: 6), "'max' of 6 is above"),
                (.request(.query("n"), fallback: 3, max: 2), "'default' of 3 is above 'max' of 2"),
                (.response(.status([:]), reserve: -1, fallback: 0, max: nil), "'reserve' of -1 is below 0"),
            ] {
                rule.cost = cost
                try refuses(rule, word)
            }
            rule = LimitRule(name: "x", allowance: .uniform(.concurrency(4)))
            try refuses(rule, "token-bucket takes 'rate'")
            try refuses(
                LimitRule("x", rate, algorithm: .concurrency), "concurrency takes 'limit'")
            rule = LimitRule("x", concurrency: 4)
            rule.warmUp = WarmUpRule(.max, over: .max, until: .ready(path: "/ready"))
            try refuses(rule, "'factor' must be")
            rule.warmUp?.denominator = 0
            try refuses(rule, "'factor' must be")
            for span in [-1, Timestamp.max] {
                rule.warmUp = WarmUpRule(1, over: 5, until: .after(.microseconds(span)))
                try refuses(rule, "'after' must be from 0 to 366 days")
            }
            rule = LimitRule("x", concurrency: 4)
            rule.cost = .response(.status([401: 1]), reserve: 1, fallback: 0, max: nil)
            try refuses(rule, "a permit is held until the response has ended")
            rule = LimitRule("x", rate)
            rule.cost = .request(.query("n"), fallback: 0, max: nil)
            try refuses(rule, "'default' of 0 is below 1")
            rule = LimitRule("x", rate, algorithm: .slidingLog)
            rule.sync = .leased
            try refuses(rule, "'sync: leased' is for")
            rule = LimitRule("x", rate)
            rule.sync = .leased
            rule.cost = .response(.header("X-C"), reserve: 1, fallback: 1, max: nil)
            try refuses(rule, "a limit with a 'reserve' can't be leased")
            rule = LimitRule("x", concurrency: 4)
            rule.countsDenied = true
            try refuses(rule, "'count_denied' has no meaning for concurrency")
            try refuses(
                LimitRule("x", try Rate(5, perTicks: 60_000_000, burst: 9), algorithm: .fixedWindow),
                "'burst' belongs to token-bucket")
            _ = try router.rateLimited("x", to: rate, using: limiter)
            func refuses(_ word: String, _ change: (inout Policy) throws -> Void) throws {
                var policy = try Policy(limits: [LimitRule("x", rate)])
                try change(&policy)
                let error = #expect(throws: PolicyError.self) { try RequestLimiter(policy: policy) }
                #expect(error?.description.contains(word) == true, "\(error?.description ?? "")")
            }
            try refuses("the bypass secret") { $0.bypass = Bypass(header: "X-Bypass", secret: "") }
            try refuses("'no name' is not a header's name") { $0.headers.limitName = "no name" }
            try refuses("an exemption without a condition") { $0.exemptions = [RequestMatch()] }
            var inBody = RequestMatch()
            inBody.json = [.init("/model", in: ["a"])]
            try refuses("'json' belongs to the match of a limit") { $0.exemptions = [inBody] }
            try refuses("'json' belongs to the match of a limit") { $0.accessRules = [AccessRule(inBody, tiers: nil)] }
            var match = RequestMatch()
            match.methods = ["post", "HEAD"]
            match.hosts = ["API.example.com"]
            #expect(match.methods == ["POST", "GET"] && match.hosts == ["api.example.com"])
            // A limiter that replaces another has routes of its own.
            let newer = try RequestLimiter(policy: limiter.policy, replacing: limiter)
            _ = try Router(context: RemoteAddressContext.self).rateLimited("b", to: rate, using: newer)
            var policy = try Policy(limits: [])
            policy.store = .shared(url: "redis://localhost")
            let error = #expect(throws: PolicyError.self) { try RequestLimiter(policy: policy) }
            #expect(error?.description.contains("was not passed to the limiter") == true)
        }

        @Test("verify names rules that fit no route, and lists the routes that nothing limits")
        func verify() throws {
            func limiter(_ yaml: String) throws -> RequestLimiter {
                let reading = Policy.read(yaml, file: "weir.yaml")
                return try RequestLimiter(policy: try #require(reading.policy, "\(reading.diagnostics)"))
            }
            let limiter1 = try limiter(
                """
                exempt: [{path: /health}]
                limits:
                  - {name: predict, match: {method: POST, path: /predict}, rate: 1/minute}
                  - {name: users, match: {path: "/users/*"}, rate: 1/minute}
                  - {name: pros, match: {path: /pro, tier: pro}, rate: 1/minute}
                tiers: {default: free}
                """)
            let router = Router(context: RemoteAddressContext.self)
            router.get("early") { _, _ in "" }
            router.add(middleware: RateLimitMiddleware(limiter1))
            router.add(middleware: LogRequestsMiddleware(Logger.Level.info))
            router.post("predict") { _, _ in "" }
            router.get("predict") { _, _ in "" }
            router.get("users/:id") { _, _ in "" }
            router.get("pro") { _, _ in "" }
            router.get("health") { _, _ in "" }
            try router.group("api").rateLimited("api", to: .perMinute(1), using: limiter1).get("a") { _, _ in "" }
            let coverage = try limiter1.verify(router)
            #expect(
                Set(coverage.unlimited.map(\.description)) == ["GET /early", "GET /predict", "GET /pro"], "\(coverage)")
            #expect(coverage.exempt.map(\.description) == ["GET /health"])
            let wrong = try limiter("limits: [{name: p, match: {path: /predct}, rate: 1/minute}]")
            let error = #expect(throws: PolicyError.self) { try wrong.verify(router) }
            #expect(
                error?.description.contains(
                    "limit 'p': no route of the app matches '/predct'; did you mean '/predict'?")
                    == true)
            // Rules in code are held against the routes too.
            var elsewhere = LimitRule("elsewhere", .perMinute(1))
            elsewhere.match = try RequestMatch(paths: "/predct")
            let inCode = Router(context: RemoteAddressContext.self)
            let ofCode = try self.limiter()
            try inCode.rateLimited(elsewhere, using: ofCode).post("predict") { _, _ in "" }
            let misplaced = #expect(throws: PolicyError.self) { try ofCode.verify(inCode) }
            #expect(misplaced?.description.contains("limit 'elsewhere': no route of the app matches '/predct'") == true)
            var shadow = LimitRule("shadow", .perMinute(1))
            shadow.mode = .shadow
            let shadowed = Router(context: RemoteAddressContext.self)
            let ofShadow = try self.limiter()
            try shadowed.rateLimited(shadow, using: ofShadow).post("predict") { _, _ in "" }
            #expect(try ofShadow.verify(shadowed).unlimited.map(\.description) == ["POST /predict"])
            // A group's own middleware is found where the router has none.
            let grouped = Router(context: RemoteAddressContext.self)
            let ofGroup = try limiter("limits: [{name: p, rate: 1/minute}]")
            grouped.group("api").add(middleware: RateLimitMiddleware(ofGroup)).get("a") { _, _ in "" }
            grouped.get("b") { _, _ in "" }
            #expect(try ofGroup.verify(grouped).unlimited.map(\.description) == ["GET /b"])
            // The middleware behind the routes: nothing is limited.
            let late = Router(context: RemoteAddressContext.self)
            late.get("a") { _, _ in "" }
            let all = try limiter("limits: [{name: p, rate: 1/minute}]")
            late.add(middleware: RateLimitMiddleware(all))
            #expect(try all.verify(late).unlimited.map(\.description) == ["GET /a"])
            late.get("b") { _, _ in "" }
            #expect(try all.verify(late).unlimited.map(\.description) == ["GET /a"])
            #expect(try all.verify([AppRoute("GET", "/a")]).unlimited.isEmpty)
        }

        @Test(
            "a rule fits a route if some request to it matches, and covers it if all do",
            arguments: [
                ("/a", "/a", true, true), ("/a/", "/a", true, true), ("/a", "/A", false, false),
                ("/A", "/a", true, true),
                ("/users/{id}", "/users/{name}", true, true), ("/users/7", "/users/{id}", true, false),
                ("/users/*", "/users/{id}", true, true), ("/users*", "/users", true, true),
                ("/files/*", "/files/**", true, true), ("/files/a/b", "/files/**", true, false),
                ("/a*", "/{x}", true, false), ("/a/b", "/a", false, false), ("/", "/", true, true),
                ("/*", "/a/b", true, true), ("/a/{x}/c", "/a/b/c", true, true), ("/a", "/a/**", true, false),
                ("/files/{rest:path}", "/files/**", true, true), ("/files/{rest:path}", "/files/a", true, true),
                ("/files/{rest:path}", "/other", false, false),
            ])
        func fits(_ rule: String, _ template: String, _ fits: Bool, _ covers: Bool) throws {
            let reading = Policy.read("limits: [{name: a, match: {path: '\(rule)'}, rate: 1/minute}]", file: "p")
            let limiter = try RequestLimiter(policy: try #require(reading.policy))
            let route = AppRoute("GET", template)
            let coverage = try? limiter.verify([route])
            #expect((coverage != nil) == fits)
            if fits { #expect((coverage?.unlimited.isEmpty == true) == covers) }
        }
    }
}
