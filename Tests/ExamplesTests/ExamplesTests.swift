import Foundation
import Hummingbird
import Logging
import Synchronization
import TestSupport
import Testing
import Weir
import WeirHTTP
import WeirRedis
import WeirTesting

@testable import Examples

/// Each example runs, and doesn't do what the hand-made version of it does.
@Suite("The examples", .serialized)
struct ExamplesTests {
    let clock = ManualClock()
    let body = "{\"inputs\": [\"a\", \"bb\"]}"
    let json = ["Content-Type": "application/json"]

    private func serve(
        _ example: any Example.Type, _ variables: [String: String] = [:], store: (any Store)? = nil,
        clock: (any TickClock)? = nil, denials: Logger = quiet, _ body: (Int) async throws -> Void
    ) async throws {
        let router = try await example.router(
            Surroundings(store: store, clock: clock ?? self.clock, variables: variables, denials: denials))
        try await withService(body) { listening in
            Application(
                router: router, configuration: .init(address: .hostname("127.0.0.1", port: 0)),
                onServerRunning: { listening($0.localAddress?.port ?? 0) }, logger: quiet)
        }
    }

    /// An example on a Redis of its own.
    private func serveOnRedis(
        _ example: any Example.Type, clock: (any TickClock)? = nil, _ body: (Int, RedisServer) async throws -> Void
    ) async throws {
        let server = try await RedisServer(try Folder())
        var options = try RedisConfiguration(url: server.url)
        options.decisionTimeout = .seconds(2)
        options.clock = clock
        let store = try RedisStore(options)
        store.start()
        try await store.waitUntilReady(timeout: .seconds(10))
        try await serve(example, store: store, clock: SystemClock()) { try await body($0, server) }
        store.close()
    }

    private func post(_ port: Int, _ path: String, _ headers: [String: String] = [:]) async throws -> RawResponse {
        try await exchangeApart(port, "POST", path, headers: json.merging(headers) { $1 }, body: body)
    }

    private func statuses(
        _ count: Int, _ port: Int, _ path: String, _ headers: [String: String] = [:]
    ) async throws -> [Int: Int] {
        var counts: [Int: Int] = [:]
        for _ in 0..<count { counts[try await post(port, path, headers).status, default: 0] += 1 }
        return counts
    }

    @Test("1: a client that writes X-Forwarded-For itself is the same client, and requests at once count each")
    func perClient() async throws {
        try await serve(PerClientAndEndpoint.self) { (port: Int) async throws -> Void in
            var counts: [Int: Int] = [:]
            for number in 0..<14 {
                counts[try await post(port, "/predict", ["X-Forwarded-For": "10.0.0.\(number)"]).status, default: 0] +=
                    1
            }
            #expect(counts == [200: 10, 429: 4])
            #expect(try await statuses(4, port, "/batch-predict") == [200: 2, 429: 2])
            let info = try await exchangeApart(port, "GET", "/model-info")
            #expect(info.status == 200 && info["RateLimit"] == nil)
        }
        try await serve(PerClientAndEndpoint.self) { (port: Int) async throws -> Void in
            let counts = try await together(50) { try await post(port, "/predict").status }
            #expect(counts == [200: 10, 429: 40])
        }
    }

    @Test("2: users are told apart by the proxy's word, their names stay out of Redis, and a key without a TTL heals")
    func perUser() async throws {
        try await serveOnRedis(PerUserAndMinute.self) { (port: Int, server: RedisServer) async throws -> Void in
            let user = ["X-User": "alice-in-chains"]
            // Ten seconds of a minute are enough for all of this.
            try await until("a minute has long to go", for: 20) {
                (5..<50).contains(Int(Date().timeIntervalSince1970) % 60)
            }
            #expect(try await post(port, "/predict", user).status == 200)
            #expect(!(try server.ask("KEYS", "*").contains("alice")))
            let key = try server.ask("KEYS", "weir:{*")
            #expect(!key.isEmpty && !key.contains("\n"), "\(key)")
            // What a client that died between INCR and EXPIRE leaves behind.
            #expect(try server.ask("PERSIST", key) == "1")
            let second = try await post(port, "/predict", user)
            let left = try #require(Int(try server.ask("PTTL", key)))
            #expect((0...62_000).contains(left), "\(left)")
            let reset = try #require(second["X-RateLimit-Reset"].flatMap { Int($0) })
            #expect(reset % 60 == 0, "the end of the minute")
            #expect(try await statuses(18, port, "/predict", user) == [200: 18])
            let denied = try await post(port, "/predict", user)
            let wait = try #require(denied["Retry-After"].flatMap { Int($0) })
            let end = Int(Date().timeIntervalSince1970) + wait
            #expect(denied.status == 429 && (reset...reset + 1).contains(end), "\(end) is not the end of the minute")
            #expect(try await post(port, "/predict", ["X-User": "bob"]).status == 200)
        }
    }

    @Test("3: denied requests don't count, and requests of one instant count each")
    func slidingWindow() async throws {
        try await serveOnRedis(SlidingWindowPerKey.self) { (port: Int, _: RedisServer) async throws -> Void in
            let key = ["X-API-Key": "alice-key"]
            let counts = try await together(30) { try await post(port, "/predict", key).status }
            #expect(counts == [200: 10, 429: 20])
            #expect(try await post(port, "/predict", ["X-API-Key": "bob-key"]).status == 200)
        }
        try await serveOnRedis(SlidingWindowPerKey.self, clock: clock) {
            (port: Int, _: RedisServer) async throws -> Void in
            let key = ["X-API-Key": "alice-key"]
            #expect(try await statuses(10, port, "/predict", key) == [200: 10])
            // It keeps trying, further apart than a denial is remembered here, so that Redis hears of each.
            for _ in 0..<11 {
                clock.advance(by: .seconds(5))
                #expect(try await post(port, "/predict", key).status == 429)
            }
            clock.advance(by: .seconds(5))
            #expect(
                try await statuses(11, port, "/predict", key) == [200: 10, 429: 1], "a minute after it was admitted")
        }
    }

    private func together(_ count: Int, _ ask: @escaping @Sendable () async throws -> Int) async throws -> [Int: Int] {
        try await withThrowingTaskGroup(of: Int.self) { group in
            for _ in 0..<count { group.addTask { try await ask() } }
            var counts: [Int: Int] = [:]
            for try await status in group { counts[status, default: 0] += 1 }
            return counts
        }
    }

    @Test("4: of 50 requests at once no more pass than there are tokens")
    func tokenBucket() async throws {
        try await serveOnRedis(TokenBucketOnRedis.self) { (port: Int, _: RedisServer) async throws -> Void in
            let start = ContinuousClock.now
            let counts = try await together(50) { try await post(port, "/predict").status }
            let refilled = Int((ContinuousClock.now - start) / .seconds(2)) + 1
            #expect((10...10 + refilled).contains(counts[200] ?? 0), "\(counts)")
        }
    }

    @Test("5: tiers are what the hash says, an upgrade takes effect, and an unknown key is nobody's")
    func tiers() async throws {
        try await serveOnRedis(TiersFromRedis.self) { (port: Int, server: RedisServer) async throws -> Void in
            try server.ask("HSET", "api_key:abc", "tier", "free")
            try server.ask("HSET", "api_key:big", "tier", "enterprise")
            try server.ask("HSET", "api_key:own", "tier", "internal")
            #expect(try await statuses(3, port, "/predict", ["X-API-Key": "abc"]) == [200: 2, 429: 1])
            try server.ask("HSET", "api_key:abc", "tier", "pro")
            try await until("the upgrade is seen") {
                try await post(port, "/predict", ["X-API-Key": "abc"])["X-RateLimit-Limit"] == "20"
            }
            #expect(try await post(port, "/predict", ["X-API-Key": "big"])["X-RateLimit-Limit"] == "200")
            let start = ContinuousClock.now
            let before = try lookups(server)
            #expect(try await statuses(30, port, "/predict", ["X-API-Key": "own"]) == [200: 30])
            // One for each question in two seconds, not one for each request.
            let most = 2 * (Int((ContinuousClock.now - start) / .seconds(2)) + 1)
            #expect((1...most).contains(try lookups(server) - before))
            var counts: [Int: Int] = [:]
            for number in 0..<5 {
                counts[try await post(port, "/predict", ["X-API-Key": "made-up-\(number)"]).status, default: 0] += 1
            }
            #expect(counts == [200: 2, 429: 3], "made-up keys buy no quota")
        }
    }

    /// How often Redis was asked for a client.
    private func lookups(_ server: RedisServer) throws -> Int {
        try server.ask("INFO", "commandstats").split(whereSeparator: \.isNewline)
            .filter { $0.hasPrefix("cmdstat_hget:") || $0.hasPrefix("cmdstat_exists:") }
            .compactMap { $0.firstMatch(of: /calls=([0-9]+)/).flatMap { Int($0.1) } }
            .reduce(0, +)
    }

    @Test("6: who may not come in gets 403 and is charged nothing, however the path is spelled")
    func premium() async throws {
        try await serve(PremiumEndpoints.self) { (port: Int) async throws -> Void in
            for path in ["/premium/predict", "//premium/predict", "/premium//predict/"] {
                let refused = try await post(port, path, ["X-API-Key": "bob-key"])
                #expect(refused.status == 403 && refused["RateLimit"] == nil)
            }
            #expect(try await statuses(31, port, "/premium/predict", ["X-API-Key": "bob-key"]) == [403: 31])
            #expect(try await post(port, "/predict", ["X-API-Key": "bob-key"])["X-RateLimit-Remaining"] == "59")
            #expect(try await post(port, "/premium/predict", ["X-API-Key": "carol-key"]).status == 200)
            #expect(try await statuses(31, port, "/premium/predict", ["X-API-Key": "alice-key"]) == [200: 30, 429: 1])
        }
    }

    @Test("7: a batch costs as many as its inputs, and the handler still has them")
    func models() async throws {
        try await serve(ModelsByWeight.self) { (port: Int) async throws -> Void in
            let batch = try await post(port, "/models/batch")
            #expect(batch["X-RateLimit-Remaining"] == "98")
            #expect(try batch.json["outputs"] as? [Int] == [1, 2])
            #expect(try await statuses(7, port, "/models/heavy") == [200: 5, 429: 2])
            #expect(try await post(port, "/models/light")["X-RateLimit-Limit"] == "60")
            let bad = try await exchangeApart(port, "POST", "/models/batch", headers: json, body: "{\"inputs\": [")
            #expect(bad["X-RateLimit-Remaining"] == "34", "what can't be read costs the most")
            let many = "{\"inputs\": [\(Array(repeating: "\"a\"", count: 65).joined(separator: ","))]}"
            #expect(try await exchangeApart(port, "POST", "/models/batch", headers: json, body: many).status == 413)
            #expect(try await post(port, "/models/batch")["X-RateLimit-Remaining"] == "32", "it cost nothing")
        }
    }

    @Test("8: the limit is a fifth for every request, not for each a fifth of the one before; and whole when ready")
    func warmUp() async throws {
        try await serve(WarmingUp.self) { (port: Int) async throws -> Void in
            for _ in 0..<3 { #expect(try await post(port, "/predict")["X-RateLimit-Limit"] == "2") }
            #expect(try await post(port, "/loaded").status == 200)
            let answer = try await post(port, "/predict")
            #expect(answer.status == 200 && answer["X-RateLimit-Limit"] == "10")
            #expect(answer["X-RateLimit-Remaining"] == "7", "the counters stayed")
        }
    }

    /// How often each status came.
    private final class Counts: Sendable {
        private let counts = Mutex<[Int: Int]>([:])

        var all: [Int: Int] { counts.withLock { $0 } }

        func add(_ status: Int) { counts.withLock { $0[status, default: 0] += 1 } }
    }

    @Test("9: requests are released a slot apart, and who would wait too long is told at once")
    func steady() async throws {
        try await serve(SteadyDownstream.self) { (port: Int) async throws -> Void in
            let counts = Counts()
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<40 {
                    group.addTask { counts.add(try await post(port, "/predict").status) }
                }
                try await until("one is through, ten wait for their slots, and the others were told") {
                    clock.waiting == 10 && counts.all == [200: 1, 429: 29]
                }
                for slot in 1...10 {
                    clock.advance(by: .microseconds(99999))
                    #expect(clock.waiting == 11 - slot && counts.all[200] == slot)
                    clock.advance(by: .microseconds(1))
                    try await until("the next is through") { counts.all[200] == slot + 1 }
                }
                try await group.waitForAll()
            }
            let job = Task { try await post(port, "/jobs").status }
            for _ in 0..<2 {
                try await until("the job waits for its turn") { clock.waiting == 1 }
                clock.advance(by: .microseconds(49999))
                #expect(clock.waiting == 1)
                clock.advance(by: .microseconds(1))
            }
            #expect(try await job.value == 200)
        }
    }

    /// Keeps what is logged.
    private struct Recorder: LogHandler {
        final class Lines: Sendable {
            private let lines = Mutex<[String]>([])

            var all: [String] { lines.withLock { $0 } }

            func add(_ line: String) { lines.withLock { $0.append(line) } }
        }

        let lines: Lines
        var metadata: Logger.Metadata = [:]
        var logLevel = Logger.Level.info

        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }

        func log(event: LogEvent) {
            let fields = (event.metadata ?? [:]).sorted { $0.key < $1.key }.map { " \($0.key)=\($0.value)" }
            lines.add("\(event.message)\(fields.joined())")
        }
    }

    @Test("10: health is free, a query that names it is not; the bypass works; denials are logged apart, and counted")
    func bypass() async throws {
        let secret = ["BYPASS_SECRET": "correct-horse-battery"]
        let lines = Recorder.Lines()
        let denials = Logger(label: "denials") { _ in Recorder(lines: lines) }
        try await serve(HealthAndBypass.self, secret, denials: denials) { (port: Int) async throws -> Void in
            for _ in 0..<9 { #expect(try await exchangeApart(port, "GET", "/health").status == 200) }
            #expect(try await statuses(5, port, "/predict?x=/health") == [200: 3, 429: 2])
            for path in ["/predict/health", "/healthy", "/health/x"] {
                #expect(try await post(port, path).status == 429, "\(path)")
            }
            #expect(try await post(port, "/predict", ["X-Emergency": "correct-horse-battery"]).status == 200)
            #expect(try await post(port, "/predict", ["X-Emergency": "wrong"]).status == 429)
            let denials = try await exchangeApart(
                port, "GET", "/denials", headers: ["X-Emergency": "correct-horse-battery"])
            #expect(denials.unchunked == "POST - 3\nPOST /predict 3\n")
            // A line for each, the same client in all of them, and neither its address nor a secret.
            let clients = lines.all.map {
                $0.wholeMatch(of: /denied client=([0-9a-f]{8,16}) limits=per-client route=(?:\/predict|-)/)?.1
            }
            #expect(clients.count == 6 && Set(clients).count == 1 && clients[0] != nil, "\(lines.all)")
        }
    }

    @Test("11: the environment goes before the .env file, and what is missing or makes no sense is an error at start")
    func environment() async throws {
        let folder = try Folder()
        let file = try folder.write("PREDICT_RATE=2/minute\n", "test.env")
        try await serve(SettingsFromEnvironment.self, ["ENV_FILE": file]) { (port: Int) async throws -> Void in
            #expect(try await post(port, "/predict")["X-RateLimit-Limit"] == "2")
        }
        try await serve(SettingsFromEnvironment.self, ["ENV_FILE": file, "PREDICT_RATE": "5/minute"]) {
            (port: Int) async throws -> Void in
            #expect(try await post(port, "/predict")["X-RateLimit-Limit"] == "5")
        }
        let broken = try folder.write("PREDICT_RATE\n", "broken.env")
        await #expect(throws: (any Error).self) {
            _ = try await SettingsFromEnvironment.router(Surroundings(variables: ["ENV_FILE": broken]))
        }
        let empty = try folder.write("# nothing\n", "empty.env")
        await #expect(throws: PolicyError.self, "it is nowhere") {
            _ = try await SettingsFromEnvironment.router(Surroundings(variables: ["ENV_FILE": empty]))
        }
        for wrong in ["", "sixty", "0/minute"] {
            await #expect(throws: PolicyError.self) {
                _ = try await SettingsFromEnvironment.router(
                    Surroundings(variables: ["ENV_FILE": file, "PREDICT_RATE": wrong]))
            }
        }
    }

    @Test("12: tokens are charged from the response, streamed or not, beside the requests")
    func tokens() async throws {
        try await serve(LanguageModelTokens.self) { (port: Int) async throws -> Void in
            func ask(_ prompt: String, streamed: Bool, tellsUsage: Bool = true) async throws -> RawResponse {
                try await exchangeApart(
                    port, "POST", "/v1/chat/completions", headers: json,
                    body: "{\"prompt\": \"\(prompt)\", \"stream\": \(streamed), \"include_usage\": \(tellsUsage)}")
            }
            #expect(try await ask("one two three", streamed: false).status == 200)
            let streamed = try await ask("one two three four", streamed: true)
            #expect(streamed.status == 200 && streamed.unchunked.hasSuffix("[DONE]\n\n"))
            // 300 and 400 of 1,000 are gone, and the reserve of this one.
            let third = try await ask("one two three", streamed: true)
            #expect(third["RateLimit"]?.hasPrefix("\"tokens\";r=200;") == true, "\(third["RateLimit"] ?? "")")
            let denied = try await ask("one", streamed: false)
            #expect(denied.status == 429 && denied["RateLimit"]?.hasPrefix("\"tokens\";r=0;") == true)
            clock.advance(by: .seconds(60))
            #expect(try await ask("one", streamed: true, tellsUsage: false).status == 200)
            let after = try await ask("one", streamed: false)
            // 400 for the stream that didn't say, and the reserve of this one: to hide the usage gains nothing.
            #expect(after["RateLimit"]?.hasPrefix("\"tokens\";r=500;") == true, "\(after["RateLimit"] ?? "")")
            clock.advance(by: .seconds(60))
            _ = try await ask("one two three four five six seven", streamed: true, tellsUsage: false)
            let longest = try await ask("one", streamed: false)
            #expect(longest["RateLimit"]?.hasPrefix("\"tokens\";r=500;") == true, "of the longest, too")
            clock.advance(by: .seconds(60))
            for _ in 0..<10 { #expect(try await ask("", streamed: false).status == 200) }
            let eleventh = try await ask("", streamed: false)
            #expect(eleventh.status == 429 && eleventh["RateLimit"]?.hasPrefix("\"requests\";r=0;") == true)
        }
    }

    @Test("every policy of the examples is sound for weir serve too", arguments: 1...15)
    func policies(_ number: Int) throws {
        let folder = packageFolder.appending(path: "Examples/Policies")
        let files = try FileManager.default.contentsOfDirectory(atPath: folder.path)
        let name = try #require(files.first { $0.hasPrefix(number < 10 ? "0\(number)-" : "\(number)-") })
        let reading = Policy.read(
            contentsOf: folder.appending(path: name).path,
            environment: [
                "REDIS_URL": "redis://127.0.0.1:6379", "BYPASS_SECRET": "0123456789abcdef", "PREDICT_RATE": "9/minute",
            ])
        #expect(reading.policy?.gateway.upstream != nil, "\(reading.diagnostics)")
        #expect(Examples.all.count == 12)
    }
}
