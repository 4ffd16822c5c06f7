import Crypto
import Foundation
import Hummingbird
import Logging
import Synchronization
import TestSupport
import Testing
import Weir
import WeirHTTP
import WeirHummingbird
import WeirJWT
import WeirTesting

/// All tests that start servers, one after another.
@Suite("Hummingbird", .serialized)
enum InApp {}

/// The app of the cases below, without a limit.
func addRoutes(_ router: Router<RemoteAddressContext>) {
    router.get("/") { _, _ in "home" }
    router.get("/users/{id}") { _, context in "user \(context.parameters.get("id") ?? "")" }
    router.post("/predict") { request, _ in
        String(buffer: try await request.body.collect(upTo: 1 << 24))
    }
    router.get("/teapot") { _, _ -> String in throw HTTPError(.conflict, message: "full") }
    router.get("/crash") { _, _ -> String in throw CancellationError() }
    router.get("/tokens") { request, _ in
        Response(
            status: .ok, headers: [.contentType: "application/json"],
            body: .init(byteBuffer: ByteBuffer(string: "{\"usage\":{\"total_tokens\":7}}")))
    }
    router.get("/stream") { _, _ in
        Response(
            status: .ok, headers: [.contentType: "text/event-stream"],
            body: ResponseBody { writer in
                try await writer.write(ByteBuffer(string: "data: {\"text\": \"a\"}\n\n"))
                try await writer.write(ByteBuffer(string: "data: {\"usage\": {\"total_tokens\": 5}}\n\n"))
                try await writer.finish(nil)
            })
    }
    router.post("/login") { request, _ in
        request.headers[.authorization] == nil ? Response(status: .unauthorized) : Response(status: .ok)
    }
}

extension InApp {
    @Suite("The middleware and the gateway", .serialized)
    struct ParityTests {
        struct Call: CustomStringConvertible, Sendable {
            var method = "GET"
            var path = "/"
            var headers: [String: String] = [:]
            var body: String?
            var after: Timestamp = 0

            var description: String { "\(method) \(path)" }
        }

        struct Case: CustomStringConvertible, Sendable {
            var description: String
            var policy: String
            var calls: [Call]
            /// Whether the store is gone, so that the policy's `on_store_failure` decides.
            var hasNoStore = false
            /// Whether requests are really held until their slots, while the decisions' clock stands.
            var holds = false
            /// How many requests may be held, if not as many as usual.
            var maxDelayed: Int?
            /// The statuses, where it is not enough that both ways have the same.
            var statuses: [Int]?
        }

        /// Decides in memory, and says so later and from elsewhere, as a server does.
        private struct LateStore: Store {
            let memory: MemoryStore

            var keyHasher: KeyHasher { memory.keyHasher }

            func decide(_ charges: [Charge], into decisions: inout [Decision]) -> PendingAnswer<DecisionResult>? {
                var made: [Decision] = []
                guard memory.decide(charges, into: &made) == nil else { return nil }
                return late(made)
            }

            func apply(_ adjustment: Adjustment) -> StoreAnswer<Bool> {
                guard case .decided(let isChanged) = memory.apply(adjustment).kind else { return .decided(false) }
                return .pending(late(isChanged))
            }

            private func late<Value: Sendable>(_ value: Value) -> PendingAnswer<Result<Value, StoreError>> {
                let answer = PendingAnswer<Result<Value, StoreError>>()
                Task.detached { answer.complete(.success(value)) }
                return answer
            }
        }

        /// Tells the time of a clock that is set by hand, and lets others wait by the machine's.
        private struct StandingClock: TickClock {
            let manual: ManualClock

            func now() -> Instant { manual.now() }
        }

        /// Hashes on a server that answers later, and each question only once.
        private final class Hashes: ClientDirectory {
            private let found = Mutex<[String: LookupAnswer]>([:])

            func lookUp(_ client: String, in hash: HashLookup, for asker: UInt64) -> StoreAnswer<LookupAnswer> {
                let name = "\(client) \(hash.field ?? "")"
                if let answer = found.withLock({ $0[name] }) { return .decided(answer) }
                let tiers = ["alice": "pro", "bob": "free"]
                let answer = LookupAnswer(
                    isKnown: tiers[client] != nil, value: hash.field.flatMap { _ in tiers[client] })
                let pending = PendingAnswer<Result<LookupAnswer, StoreError>>()
                Task.detached {
                    self.found.withLock { $0[name] = answer }
                    pending.complete(.success(answer))
                }
                return .pending(pending)
            }
        }

        /// A token for `sub` that is in force for 100 seconds, signed by this key or another.
        private static func token(_ sub: String, tier: String, key: String = secret) -> String {
            func url(_ data: some DataProtocol) -> String {
                Data(data).base64EncodedString().replacing("+", with: "-").replacing("/", with: "_").replacing(
                    "=", with: "")
            }
            let claims = "{\"sub\":\"\(sub)\",\"tier\":\"\(tier)\",\"exp\":1790000100}"
            let signed = url(Data("{\"alg\":\"HS256\",\"kid\":\"s\"}".utf8)) + "." + url(Data(claims.utf8))
            let code = HMAC<SHA256>.authenticationCode(
                for: Data(signed.utf8), using: SymmetricKey(data: Data(key.utf8)))
            return "\(signed).\(url(Data(code)))"
        }

        private static let secret = "a secret of thirty-two characters"

        private static func bearer(_ token: String) -> [String: String] { ["Authorization": "Bearer \(token)"] }

        /// A server that isn't there.
        private struct NoStore: Store {
            let keyHasher = KeyHasher()

            func decide(_ charges: [Charge], into decisions: inout [Decision]) -> PendingAnswer<DecisionResult>? {
                failed()
            }

            func apply(_ adjustment: Adjustment) -> StoreAnswer<Bool> { .pending(failed()) }

            private func failed<Value: Sendable>() -> PendingAnswer<Result<Value, StoreError>> {
                let answer = PendingAnswer<Result<Value, StoreError>>()
                answer.complete(.failure(StoreError(.unavailable, "gone")))
                return answer
            }
        }

        static func get(_ path: String = "/", _ headers: [String: String] = [:], after: Timestamp = 0) -> Call {
            Call(path: path, headers: headers, after: after)
        }

        static func post(_ path: String, _ body: String, _ headers: [String: String] = [:]) -> Call {
            Call(method: "POST", path: path, headers: headers, body: body)
        }

        static func times(_ count: Int, _ call: Call) -> [Call] { Array(repeating: call, count: count) }

        static let cases: [Case] = [
            Case(
                description: "a token bucket, its denial and its refill",
                policy: "limits: [{name: a, rate: 2/minute}]",
                calls: times(3, get()) + [get(after: 30_000_000), get()]),
            Case(
                description: "several windows and limits, the most pressing reported",
                policy: """
                    limits:
                      - {name: wide, rate: 5/minute; 8/hour, algorithm: fixed-window}
                      - {name: users, match: {path: '/users/{id}'}, rate: 2/minute, key: [client, {param: id}]}
                    """,
                calls: times(3, get("/users/1")) + [get("/users/2"), get("/users/2/"), get("//users/2"), get()]),
            Case(
                description: "methods, HEAD as GET, and what no rule is for",
                policy: "limits: [{name: a, match: {method: GET, path: /}, rate: 1/minute}]",
                calls: [Call(method: "HEAD"), get(), get("/nowhere"), post("/predict", "x")]),
            Case(
                description: "costs from a JSON body, absent, malformed and too large",
                policy: """
                    limits:
                      - {name: a, match: {path: /predict}, rate: 20/minute, cost: {json_length: /inputs, max: 8}}
                    """,
                calls: [
                    post("/predict", "{\"inputs\": [1, 2, 3]}"), post("/predict", "{}"),
                    post("/predict", "{\"inputs\": ["),
                    post("/predict", "{\"inputs\": [1,2,3,4,5,6,7,8,9]}"), post("/predict", ""),
                    post("/predict", "{\"inputs\": [1,2,3,4,5,6,7]}"), post("/predict", "{\"inputs\": [1]}"),
                ]),
            Case(
                description: "a body over the limit costs the most, and reaches the handler whole",
                policy: """
                    body_limit: 1000
                    limits: [{name: a, rate: 20/minute, cost: {json: /n, max: 9}}]
                    """,
                calls: [post("/predict", String(repeating: "x", count: 200_000)), get()]),
            Case(
                description: "costs from the response: JSON, server-sent events, status",
                policy: """
                    limits:
                      - {name: tokens, match: {path: [/tokens, /stream, /teapot]}, rate: 20/minute, cost: {response: {json: /usage/total_tokens}, reserve: 2}}
                      - {name: logins, match: {path: /login}, rate: 2/minute, cost: {response: {status: {401: 1}, default: 0}}}
                    """,
                calls: [get("/teapot"), get("/tokens"), get("/stream"), get("/tokens"), get("/tokens"), get("/stream")]
                    + [post("/login", "", ["Authorization": "x"])] + times(3, post("/login", ""))),
            Case(
                description: "keys, matches and reserves in the body",
                policy: """
                    limits:
                      - {name: model, match: {path: /predict}, rate: 2/minute, key: [client, {json: /model, known: [a, b]}]}
                      - {name: large, match: {path: /predict, json: {/model: [gpt-4*]}}, rate: 1/minute}
                      - {name: t, rate: 90/minute, cost: {response: {json: /usage/total_tokens}, reserve: {json: /max, default: 5}, default: 7}}
                    """,
                calls: [
                    post("/predict", "{\"model\": \"a\", \"max\": 20}"), post("/predict", "{\"model\": \"a\"}"),
                    post("/predict", "{\"model\": \"a\"}"), post("/predict", "{\"model\": \"b\", \"max\": 500}"),
                    post("/predict", "{\"model\": \"gpt-4o\"}"), post("/predict", "{\"model\": \"gpt-4\"}"),
                    post("/predict", "{\"model"), post("/predict", ""), get("/tokens"), get("/teapot"),
                ]),
            Case(
                description: "a page that sends credentials can read what Weir answers",
                policy: """
                    cors: {origins: [https://a.example], credentials: true}
                    limits: [{name: a, rate: 1/minute}]
                    """,
                calls: [
                    get("/", ["Origin": "https://a.example"]), get("/", ["Origin": "https://a.example"]),
                    get("/", ["Origin": "https://b.example"]), get(),
                ]),
            Case(
                description: "clients by key, tiers, access, exemptions, bypass and shadow",
                policy: """
                    client: [{header: X-API-Key, known: {file: keys.txt}}]
                    tiers: {source: {file: keys.txt}, default: free}
                    access: [{match: {path: /tokens}, tier: [pro]}]
                    exempt: [{path: /teapot}]
                    bypass: {header: X-Weir-Bypass, secret: {env: SECRET}}
                    limits:
                      - {name: a, rate: {free: 1/minute, pro: 3/minute}}
                      - {name: b, rate: 1/minute, mode: shadow}
                    """,
                calls: [
                    get("/", ["X-API-Key": "alice"]), get("/", ["X-API-Key": "alice"]),
                    get("/tokens", ["X-API-Key": "alice"]),
                    get("/", ["X-API-Key": "nobody"]), get("/", ["X-API-Key": "bob"]), get("/tokens"),
                    get("/", ["X-API-Key": "bob"]), get("/teapot", ["X-API-Key": "bob"]),
                    get("/", ["X-API-Key": "bob", "X-Weir-Bypass": "0123456789abcdef"]),
                ]),
            Case(
                description: "clients and tiers by their tokens, until these have expired",
                policy: """
                    client: [{jwt: {claim: sub, keys: keys.json}}]
                    tiers: {source: {jwt: {claim: tier}}, default: free}
                    access: [{match: {path: /tokens}, tier: [pro]}]
                    limits: [{name: a, rate: {free: 1/minute, pro: 3/minute}}]
                    """,
                calls: [
                    get("/", bearer(token("alice", tier: "pro"))), get("/", bearer(token("alice", tier: "pro"))),
                    get("/tokens", bearer(token("alice", tier: "pro"))), get("/", bearer(token("alice", tier: "pro"))),
                    get("/tokens", bearer(token("bob", tier: "free"))), get("/", bearer(token("bob", tier: "free"))),
                    get("/", bearer(token("carol", tier: "pro", key: "another of at least thirty-two bytes"))), get(),
                    get("/", bearer(token("alice", tier: "pro")), after: 99_000_000),
                    get("/", bearer(token("alice", tier: "pro")), after: 2_000_000),
                    get("/", bearer("not.a.token")), get("/", ["Authorization": "Basic YTpi"]),
                ]),
            Case(
                description: "clients and tiers that a server looks up",
                policy: """
                    client: [{header: X-API-Key, known: {redis_hash: 'api_key:{client}'}}]
                    tiers: {source: {redis_hash: 'api_key:{client}', field: tier}, default: free}
                    access: [{match: {path: /tokens}, tier: [pro]}]
                    limits:
                      - {name: a, rate: {free: 2/minute, pro: 3/minute}}
                      - {name: b, match: {path: /predict}, rate: 9/minute, cost: {json_length: /inputs, max: 8}}
                    """,
                calls: [
                    post("/predict", "{\"inputs\": [1, 2, 3]}", ["X-API-Key": "alice"]),
                    get("/tokens", ["X-API-Key": "alice"]),
                    get("/", ["X-API-Key": "alice"]), get("/", ["X-API-Key": "alice"]),
                    post(
                        "/predict", "{\"pad\": \"\(String(repeating: "x", count: 300_000))\", \"inputs\": []}",
                        ["X-API-Key": "bob"]),
                    get("/tokens", ["X-API-Key": "bob"]), get("/", ["X-API-Key": "bob"]),
                    get("/", ["X-API-Key": "nobody"]), get(), get(),
                ]),
            Case(
                description: "addresses that a trusted proxy forwards",
                policy: """
                    trusted_proxies: [127.0.0.1]
                    limits: [{name: a, rate: 1/minute}]
                    """,
                calls: [
                    get("/", ["X-Forwarded-For": "192.0.2.1"]), get("/", ["X-Forwarded-For": "192.0.2.1"]),
                    get("/", ["X-Forwarded-For": "192.0.2.2, 127.0.0.1"]), get("/", ["X-Forwarded-For": "2001:db8::1"]),
                    get("/", ["X-Forwarded-For": "2001:db8::2"]), get("/", ["X-Forwarded-For": "nonsense"]),
                ]),
            Case(
                description: "spellings of a path, and those that are refused",
                policy: "paths: strict\nlimits: [{name: a, match: {path: /users/7}, rate: 3/minute}]",
                calls: [
                    get("/users/7"), get("//users///7"), get("/users/7/"), get("/users/7?x=1"), get("/users%2F7"),
                    get("/users/%00"),
                ]),
            Case(
                description: "a page of another origin, and its preflight",
                policy: "cors: {origins: [https://a.example]}\nlimits: [{name: a, rate: 1/minute}]",
                calls: [
                    Call(
                        method: "OPTIONS", path: "/",
                        headers: ["Origin": "https://a.example", "Access-Control-Request-Method": "GET"]),
                    get("/", ["Origin": "https://a.example"]), get("/", ["Origin": "https://a.example"]),
                ]),
            Case(
                description: "headers renamed and switched off",
                policy: """
                    headers: {x_ratelimit: false, problem: false, names: {ratelimit: Quota}}
                    limits: [{name: a, rate: 1/minute}]
                    """, calls: times(2, get())),
            Case(
                description: "concurrency, freed with the response",
                policy: "limits: [{name: a, algorithm: concurrency, limit: 1}]",
                calls: times(3, get()) + [get("/stream"), get("/teapot"), get()]),
            Case(
                description: "errors of the handler",
                policy: "limits: [{name: a, rate: 9/minute}]", calls: [get("/teapot"), get("/nowhere")]),
            Case(
                description: "a leaky bucket that denies",
                policy: "limits: [{name: a, rate: 1/minute, algorithm: leaky-bucket, max_wait: 0s}]",
                calls: times(2, get())),
            Case(
                description: "a leaky bucket that holds requests until their slots",
                policy: "limits: [{name: a, rate: 20/second, algorithm: leaky-bucket, max_wait: 100ms}]",
                calls: times(4, get()), holds: true),
            Case(
                description: "no room to delay a request, whose charges are given back",
                policy: """
                    limits:
                      - {name: a, rate: 20/minute, algorithm: leaky-bucket, max_wait: 10s}
                      - {name: b, rate: 3/hour}
                    """,
                calls: times(6, get()) + [get(after: 3_000_000)], maxDelayed: 0,
                statuses: [200, 503, 503, 503, 503, 503, 200]),
            Case(
                description: "count_denied",
                policy: "limits: [{name: a, rate: 2/minute, count_denied: true}]",
                calls: times(3, get()) + [get(after: 30_000_000)]),
            Case(
                description: "a warm-up that ends by time",
                policy: "limits: [{name: a, rate: 4/minute, warm_up: {factor: 0.5, after: 1m}}]",
                calls: times(3, get()) + [get(after: 59_999_999), get(after: 1)]),
            Case(
                description: "no store: denied, because one limit says so",
                policy: "limits: [{name: a, rate: 1/minute}, {name: b, rate: 1/minute, on_store_failure: deny}]",
                calls: times(2, get()), hasNoStore: true),
            Case(
                description: "no store: counted here",
                policy: "limits: [{name: a, rate: 1/minute}, {name: b, rate: 1/minute, on_store_failure: allow}]",
                calls: times(2, get()), hasNoStore: true),
        ]

        /// What must be the same. Neither adds or drops others of these.
        private func seen(_ answer: RawResponse, _ call: Call) -> [String] {
            let names = [
                "ratelimit", "quota", "ratelimit-policy", "x-ratelimit-limit", "x-ratelimit-remaining",
                "x-ratelimit-reset", "retry-after", "access-control-allow-origin", "access-control-expose-headers",
                "access-control-allow-credentials", "vary",
                "vary",
            ]
            var lines = ["\(answer.status)"]
            for name in names {
                lines += answer.headers.filter { $0.name == name }.map { "\($0.name): \($0.value)" }
            }
            if [400, 403, 413, 429, 503].contains(answer.status) {
                lines.append(answer["content-type"] ?? "-")
            }
            return lines + (call.method == "HEAD" ? [] : [answer.unchunked])
        }

        private func limiter(
            _ rule: Case, _ folder: Folder, _ clock: ManualClock, answersLate: Bool
        ) async throws -> RequestLimiter {
            _ = try folder.write("alice pro\nbob free\n", "keys.txt")
            let key = Data(Self.secret.utf8).base64EncodedString().replacing("=", with: "")
            let keys = "{\"keys\": [{\"kty\": \"oct\", \"kid\": \"s\", \"alg\": \"HS256\", \"k\": \"\(key)\"}]}"
            _ = try folder.write(keys, "keys.json")
            let file = try folder.write(rule.policy, "weir.yaml")
            let store: (any Store)? =
                if rule.hasNoStore { NoStore() } else if answersLate {
                    LateStore(memory: MemoryStore(clock: clock))
                } else { nil }
            var policy = try Policy(contentsOf: file, environment: ["SECRET": "0123456789abcdef"])
            if let most = rule.maxDelayed { policy.maxDelayed = most }
            return try RequestLimiter(
                policy: policy, store: store,
                verifier: try await KeySetVerifier(json: keys, clock: clock), lookup: Hashes(),
                clock: rule.holds ? StandingClock(manual: clock) : clock)
        }

        /// The ways to an app's limits.
        private enum Way: String, CaseIterable {
            case middleware, http1, http2, http2OverTLS

            func exchange(_ port: Int, _ call: Call) async throws -> RawResponse {
                switch self {
                case .middleware, .http1:
                    try await exchangeApart(port, call.method, call.path, headers: call.headers, body: call.body)
                case .http2, .http2OverTLS:
                    try await exchangeOverHTTP2(
                        port, call.method, call.path, headers: call.headers, body: call.body,
                        usesTLS: self == .http2OverTLS)
                }
            }
        }

        /// What the calls of a case are answered in one way.
        private func answers(_ rule: Case, _ way: Way, answersLate: Bool) async throws -> [[String]] {
            let folder = try Folder()
            let clock = ManualClock(atTicks: 1_790_000_000_000_000)
            let limiter = try await limiter(rule, folder, clock, answersLate: answersLate)
            let router = Router(context: RemoteAddressContext.self)
            if way == .middleware {
                router.add(middleware: RateLimitHeaders())
                router.add(middleware: RateLimitMiddleware(limiter))
            }
            addRoutes(router)
            var seen: [[String]] = []
            func call(_ port: Int) async throws {
                let begin = ContinuousClock.now
                for call in rule.calls {
                    clock.advance(by: .microseconds(call.after))
                    seen.append(self.seen(try await way.exchange(port, call), call))
                }
                // The second and the third have their slots after 50 and 100 ms, and none is released before.
                if rule.holds { #expect(ContinuousClock.now - begin >= .milliseconds(150)) }
            }
            try await withServer(router.buildResponder()) { port in
                switch way {
                case .middleware: try await call(port)
                case .http1, .http2: try await withGateway(limiter, upstream: port) { try await call($0) }
                case .http2OverTLS:
                    let certificate = try await TestCertificate(folder, "server", names: ["localhost"])
                    try await withGateway(limiter, upstream: port, certificate) { try await call($0) }
                }
            }
            return seen
        }

        @Test("answer alike, whether the store does at once or later", arguments: cases)
        func alike(_ rule: Case) async throws {
            let middleware = try await answers(rule, .middleware, answersLate: false)
            if let statuses = rule.statuses { #expect(middleware.map(\.[0]) == statuses.map(String.init)) }
            for way in Way.allCases {
                for answersLate in [false, true] where way != .middleware || answersLate {
                    let other = try await answers(rule, way, answersLate: answersLate)
                    for (index, call) in rule.calls.enumerated() {
                        #expect(
                            other[index] == middleware[index], "\(way)\(answersLate ? ", late" : ""), \(index): \(call)"
                        )
                    }
                }
            }
        }
    }
}
