import Foundation
import Testing
import Weir
import WeirTesting

@testable import WeirHTTP

/// A request written by hand.
struct TestRequest: LimitableRequest {
    var method = "GET"
    var target = "/"
    var host: String? = "api.example.com"
    var headers: [(String, String)] = []

    func forEachValue(of name: String, _ body: (String) -> Void) {
        for (other, value) in headers where other.lowercased() == name.lowercased() { body(value) }
    }
}

/// A policy under test, with a clock that stands still.
struct Bench {
    let clock = ManualClock()
    let limiter: RequestLimiter
    let request: LimitedRequest

    /// - Parameter files: the files that the policy names, and their texts.
    init(
        _ yaml: String, environment: [String: String] = [:], verifier: (any TokenVerifier)? = nil,
        files: [String: String] = [:]
    ) throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "weir-\(UUID().uuidString)")
        if !files.isEmpty { try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true) }
        defer { if !files.isEmpty { try? FileManager.default.removeItem(at: folder) } }
        for (name, text) in files {
            try text.write(to: folder.appending(path: name), atomically: true, encoding: .utf8)
        }
        let file = files.isEmpty ? "weir.yaml" : folder.appending(path: "weir.yaml").path
        let reading = Policy.read(yaml, file: file, environment: environment)
        let policy = try #require(reading.policy, "\(reading.diagnostics)")
        limiter = try RequestLimiter(policy: policy, store: MemoryStore(clock: clock), verifier: verifier, clock: clock)
        request = LimitedRequest(limiter)
    }

    /// The status a request gets: 200 when it passes.
    func status(_ test: TestRequest, from peer: String = "192.0.2.1", body: ReceivedBody = .none) -> Int {
        var step = request.begin(test, on: limiter, peer: IPAddress(peer)!)
        if case .needsBody = step { step = request.resume(body: body) }
        guard case .verdict(let verdict) = step else { return 0 }
        switch verdict {
        case .pass: return 200
        case .answer(let problem): return problem.status
        }
    }

    func status(_ target: String, from peer: String = "192.0.2.1", headers: [(String, String)] = []) -> Int {
        status(TestRequest(target: target, headers: headers), from: peer)
    }

    var headers: [String: String] {
        var headers: [String: String] = [:]
        request.writeHeaders { headers[$0] = $1 }
        return headers
    }
}

@Suite("Who is asking")
struct IdentityTests {
    let policy = "limits: [{name: a, rate: 1/minute}]\n"

    @Test(
        "the client is the first untrusted address from the right",
        arguments: [
            ("10.0.0.1", ["198.51.100.7"], "198.51.100.7"),
            ("10.0.0.1", ["1.1.1.1, 198.51.100.7"], "198.51.100.7"),
            ("10.0.0.1", ["1.1.1.1", "198.51.100.7, 10.0.0.9"], "198.51.100.7"),
            ("10.0.0.1", ["198.51.100.7, garbage, 10.0.0.9"], "10.0.0.9"),
            ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            ("10.0.0.1", [], "10.0.0.1"),
            ("10.0.0.1", [""], "10.0.0.1"),
            ("10.0.0.1", ["198.51.100.7,"], "198.51.100.7"),
            ("10.0.0.1", ["198.51.100.7, ,"], "198.51.100.7"),
            ("10.0.0.1", ["198.51.100.7", ""], "198.51.100.7"),
            ("10.0.0.1", [",, ,"], "10.0.0.1"),
            ("192.0.2.5", ["198.51.100.7"], "192.0.2.5"),
            ("10.0.0.1", ["::ffff:198.51.100.7"], "198.51.100.7"),
            ("10.0.0.1", ["[2001:db8::1]:4711"], "2001:db8::1"),
            ("::ffff:10.0.0.1", ["198.51.100.7:80"], "198.51.100.7"),
        ])
    func forwardedFor(_ peer: String, _ lines: [String], _ expected: String) throws {
        let finder = ClientAddress(trusted: ["10.0.0.0/8"], header: .xForwardedFor)
        let request = TestRequest(headers: lines.map { ("X-Forwarded-For", $0) } + [("Forwarded", "for=9.9.9.9")])
        #expect(finder.client(of: request, peer: IPAddress(peer)!).description == expected)
    }

    @Test(
        "Forwarded is read as RFC 7239 says, and X-Forwarded-For beside it is not",
        arguments: [
            (["for=198.51.100.7"], "198.51.100.7"), (["For=\"[2001:db8::1]:4711\""], "2001:db8::1"),
            (["for=1.1.1.1, for=198.51.100.7;proto=https;by=10.0.0.1"], "198.51.100.7"),
            (["for=198.51.100.7, for=unknown"], "10.0.0.1"),
            (["for=198.51.100.7, for=_hidden, for=10.0.0.2"], "10.0.0.2"),
            (["for=198.51.100.7, proto=https"], "10.0.0.1"), (["for=\"198.51.100.7"], "10.0.0.1"),
            (["for=6.6.6.6;x=\", for=198.51.100.7"], "198.51.100.7"),
            (["for=6.6.6.6;x=\"", "for=\"198.51.100.7\""], "198.51.100.7"),
            (["for=1.1.1.1;for=2.2.2.2"], "10.0.0.1"),
            (["for=198.51.100.7, ,", ""], "198.51.100.7"),
        ])
    func forwarded(_ lines: [String], _ expected: String) throws {
        let finder = ClientAddress(trusted: ["10.0.0.0/8"], header: .forwarded)
        let request = TestRequest(headers: lines.map { ("Forwarded", $0) } + [("X-Forwarded-For", "9.9.9.9")])
        #expect(finder.client(of: request, peer: IPAddress("10.0.0.1")!).description == expected)
    }

    @Test("an IPv6 client is its /64, an IPv4 client its whole address, also when it is mapped")
    func masks() throws {
        let bench = try Bench(policy)
        #expect(bench.status("/", from: "2001:db8::1") == 200)
        #expect(bench.status("/", from: "2001:db8::2") == 429)
        #expect(bench.status("/", from: "2001:db8:0:1::1") == 200)
        #expect(bench.status("/", from: "::ffff:192.0.2.1") == 200)
        #expect(bench.status("/", from: "192.0.2.1") == 429)
        #expect(bench.status("/", from: "::ffff:192.0.2.2") == 200, "mapped addresses are not one bucket")
        #expect(bench.status("/", from: "64:ff9b::1") == 200)
    }

    @Test("a bearer's key is one client, whatever the scheme's case and the blanks, and a bare scheme is nobody")
    func bearer() throws {
        let bench = try Bench(
            """
            client: [{bearer: {known: {file: keys.txt}}}]
            tiers: {source: {file: keys.txt}, default: free}
            limits: [{name: a, rate: {free: 1/minute, pro: 3/minute}}]
            """, files: ["keys.txt": "k1 pro\nk2 pro\n"])
        func status(_ value: String...) -> Int {
            bench.status("/", from: "192.0.2.1", headers: value.map { ("Authorization", $0) })
        }
        #expect(status("Bearer k1") == 200)
        #expect(status("bearer  k1") == 200)
        #expect(status("BEARER k1 ") == 200)
        #expect(status("Bearer k1") == 429)
        #expect(status("Bearer k2") == 200)
        // The rest are nobody, and share the address's budget.
        #expect(status("Bearer unknown") == 200)
        for value in ["Bearer", "Bearer ", "k1", "Basic k1"] { #expect(status(value) == 429, "\(value)") }
        #expect(status("Bearer k2", "Bearer k2") == 429, "two name nobody")
    }

    @Test("a header from anyone but a trusted proxy buys nothing, nor does one given twice, empty or oversized")
    func spoofing() throws {
        let bench = try Bench(
            "trusted_proxies: [10.0.0.1]\nclient: [{header: X-User, from: trusted_proxies}]\n" + policy)
        #expect(bench.status("/", headers: [("X-User", "a")]) == 200)
        #expect(bench.status("/", headers: [("X-User", "b")]) == 429)
        #expect(bench.status("/", from: "10.0.0.1", headers: [("X-User", "a")]) == 200)
        #expect(bench.status("/", from: "10.0.0.1", headers: [("X-User", "b")]) == 200)
        #expect(bench.status("/", from: "10.0.0.1", headers: [("X-User", "a")]) == 429)
        #expect(bench.status("/", from: "10.0.0.1", headers: [("X-User", "c"), ("x-user", "d")]) == 200, "the address")
        #expect(bench.status("/", from: "10.0.0.1", headers: [("X-User", "")]) == 429, "the address again")
        #expect(
            bench.status("/", from: "10.0.0.1", headers: [("X-User", String(repeating: "x", count: 65_536))]) == 429)
        #expect(bench.status("/", from: "10.0.0.1", headers: [("X-User", "10.0.0.1")]) == 200, "a name is no address")
    }

    @Test("a known key in another spelling of the same characters is another key")
    func canonicalEquivalence() {
        let directory = ClientFile(file: "f", text: "KEY-K1 pro") { _, _ in }
        #expect(directory.entry("KEY-K1")?.tier == "pro")
        #expect("\u{212A}EY-K1" == "KEY-K1", "to String they are the same")
        #expect(directory.entry("\u{212A}EY-K1") == nil)
    }

    struct OneToken: TokenVerifier {
        func verify(_ token: String) -> VerifiedToken? {
            token == "good" ? VerifiedToken(claims: ["sub": "alice", "tier": "pro"]) : nil
        }
    }

    @Test("a verified token names the client and the tier; any other falls through to the address")
    func tokens() throws {
        let bench = try Bench(
            """
            client: [{jwt: {claim: sub, keys: unused.json}}]
            tiers: {source: {jwt: {claim: tier}}, default: free}
            limits: [{name: a, rate: {free: 1/minute, pro: 2/minute}}]
            """, verifier: OneToken())
        for expected in [200, 200, 429] {
            #expect(bench.status("/", headers: [("Authorization", "Bearer good")]) == expected)
        }
        for expected in [200, 429] {
            #expect(bench.status("/", headers: [("Authorization", "Bearer bad")]) == expected)
        }
    }
}

@Suite("Which rules apply")
struct MatchTests {
    @Test(
        "every spelling of a path is matched as the path that is forwarded",
        arguments: [
            ("/predict", "/predict", "/predict"), ("/predict/", "/predict/", "/predict/"),
            ("//predict", "/predict", "/predict"),
            ("/./predict", "/predict", "/predict"), ("/a/../predict", "/predict", "/predict"),
            ("/%70redict", "/predict", "/predict"), ("/%2e%2e/predict", "/predict", "/predict"),
            ("/predict?a=%2F..//", "/predict", "/predict?a=%2F..//"), ("/a%20b", "/a b", "/a%20b"),
            ("http://h.example/predict?x", "/predict", "/predict?x"), ("http://h.example", "/", "/"), ("/..", "/", "/"),
            ("/a/.", "/a/", "/a/"), ("/a/b/..", "/a/", "/a/"), ("/%c3%a9", "/é", "/%C3%A9"), ("*", "*", "*"),
            ("/a;b=1", "/a", "/a;b=1"), ("/a%3Bb", "/a;b", "/a%3Bb"), ("/a%2Bb%26", "/a+b&", "/a%2Bb%26"),
            ("/.hidden", "/.hidden", "/.hidden"), ("/a?b", "/a", "/a?b"),
        ])
    func spellings(_ target: String, _ path: String, _ forwarded: String) throws {
        let read = try RequestPath(target)
        #expect(read.path == path)
        #expect(read.target == forwarded)
        let again = try RequestPath(read.target)
        #expect(again.path == read.path, "the upstream sees the same path")
    }

    @Test(
        "ambiguous spellings are refused, unless paths are lenient",
        arguments: [
            "/a%2fb", "/a%5Cb", "/a%00b", "/a%252Fb", "/a%2525", "/a\\b", "/a%25%32%46b", "/a%25%32Fb", "/..;/a",
            "/x/.;y/a",
        ])
    func ambiguous(_ target: String) throws {
        #expect(throws: RequestPathError.self) { try RequestPath(target) }
        let lenient = try RequestPath(target, lenient: true)
        #expect(lenient.target == target, "it is forwarded as it came")
        #expect(lenient.otherReadings.contains(target))
    }

    @Test(
        "a lenient path is forwarded as it came, and has a few readings: the most reduced one first",
        arguments: [
            ("/bucket//a.txt", "/bucket/a.txt", ["/bucket//a.txt"]),
            (
                "/web/https://example.com/x?q=//", "/web/https:/example.com/x", ["/web/https://example.com/x"]
            ),
            ("/a%2Fb", "/a/b", ["/a%2Fb"]),
            ("/s/%2e%2e/a", "/a", ["/s/%2e%2e/a", "/s/../a"]),
            ("/s%2f..%2fa", "/a", ["/s%2f..%2fa", "/s/../a", "/s%2F..%2Fa"]),
            ("/a%252Fb", "/a/b", ["/a%252Fb", "/a%2Fb", "/a%252Fb"]),
            ("/a\\b", "/a/b", ["/a\\b"]), ("/a;x/../b", "/b", ["/a;x/../b"]), ("/a", "/a", []),
        ])
    func lenient(_ target: String, _ path: String, _ others: [String]) throws {
        let read = try RequestPath(target, lenient: true)
        #expect(read.target == target)
        #expect(read.path == path)
        #expect(Set(read.otherReadings) == Set(others))
        #expect(read.query == (target.contains("?") ? "q=//" : nil))
    }

    @Test("limits and access rules apply to any reading of a lenient path, exemptions to all")
    func lenientRules() throws {
        let bench = try Bench(
            """
            paths: lenient
            access: [{match: {path: "/admin/*"}, deny: true}]
            exempt: [{path: "/static/*"}]
            limits: [{name: u, match: {path: "/users/{id}"}, key: [{param: id}], rate: 1/hour}]
            """)
        for target in [
            "/admin/x", "//admin/x", "/static/../admin/x", "/static/%2e%2e/admin/x", "/static%2f..%2fadmin/x",
            "/static/..%5Cadmin/x", "/%2561dmin/x", "/x;y/../admin/x",
        ] { #expect(bench.status(target) == 403, "\(target)") }
        #expect(bench.status("/users/1") == 200 && bench.status("/users/1") == 429)
        for target in ["//users/1", "/users//1", "/users/%31", "/static/../users/1", "/users/%2531", "/x%2f../users/1"]
        {
            #expect(bench.status(target) == 429, "\(target)")
        }
        #expect(bench.status("/users/2%2F3") == 200)
        for _ in 0..<3 { #expect(bench.status("/static/x") == 200) }
    }

    @Test(
        "broken targets are refused",
        arguments: ["", "a", "/%", "/%zz", "/a b", "/a#b", "ftp://x/", "http://", "http://u@h/", "//%", "/\u{7F}"])
    func broken(_ target: String) {
        #expect(throws: RequestPathError.self) { try RequestPath(target) }
    }

    @Test(
        "patterns match what they say",
        arguments: [
            ("/predict", ["/predict", "/predict/"], ["/predict/x", "/Predict", "/predicts"]),
            ("/predict*", ["/predict", "/predicts", "/predict/x"], ["/predic"]),
            ("/premium/*", ["/premium/x", "/premium/", "/premium"], ["/premiumx"]),
            ("/users/{id}", ["/users/1", "/users/a/"], ["/users", "/users//", "/users/1/2"]),
            ("/users/{id}/posts/*", ["/users/1/posts/2", "/users/1/posts"], ["/users/1", "/users/1/postsx"]),
            ("/", ["/"], ["/a"]), ("/*", ["/", "/a"], []),
        ])
    func patterns(_ pattern: String, _ matching: [String], _ others: [String]) throws {
        var index = PathIndex()
        index.insert(try PathPattern(pattern), id: 7)
        func matches(_ path: String) -> Bool {
            var found = false
            index.forEachMatch(path) { found = found || $0 == 7 }
            return found
        }
        for path in matching { #expect(matches(path), "\(path)") }
        for path in others { #expect(!matches(path), "\(path)") }
    }

    @Test("the index finds what a look at every pattern finds")
    func indexAgainstAScan() throws {
        var random = SystemRandomNumberGenerator()
        let words = ["a", "ab", "abc", "b", "{x}", "{y}"]
        func randomPath(_ words: [String]) -> String {
            "/"
                + (0..<Int.random(in: 0...3, using: &random)).map { _ in words.randomElement(using: &random)! }.joined(
                    separator: "/")
        }
        for _ in 0..<300 {
            var index = PathIndex()
            let patterns = try (0..<20).map { _ -> PathPattern in
                let path = randomPath(words)
                // A parameter is a whole segment, so no '*' follows it.
                return try PathPattern(path + (!path.hasSuffix("}") && Bool.random(using: &random) ? "*" : ""))
            }
            for (id, pattern) in patterns.enumerated() { index.insert(pattern, id: id) }
            for _ in 0..<20 {
                let path = randomPath(["a", "ab", "abc", "b", "c"])
                var found: Set<Int> = []
                index.forEachMatch(path) { found.insert($0) }
                let expected = patterns.indices.filter { Self.naive(patterns[$0].description, matches: path) }
                #expect(found == Set(expected), "\(path) in \(patterns)")
            }
        }
    }

    /// Holds a path against a pattern segment by segment.
    static func naive(_ pattern: String, matches path: String) -> Bool {
        let path = path.hasSuffix("/") ? path : path + "/"
        var segments = path.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        var parts = pattern.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        if !pattern.hasSuffix("*"), !pattern.hasSuffix("/") { parts.append("") }
        if pattern.hasSuffix("*") {
            guard segments.count >= parts.count, let last = parts.popLast() else { return false }
            guard segments[parts.count].hasPrefix(last.dropLast()) else { return false }
            segments = Array(segments[..<parts.count])
        }
        return segments.count == parts.count
            && zip(parts, segments).allSatisfy { $0.hasPrefix("{") ? !$1.isEmpty : $0 == $1 }
    }

    @Test("a limit on a route holds for every spelling of it")
    func noSpellingEscapes() throws {
        let bench = try Bench("limits: [{name: p, match: {path: /predict}, rate: 1/minute}]")
        #expect(bench.status("/predict") == 200)
        for target in [
            "/predict/", "//predict", "/./predict", "/%70redict", "/x/../predict", "http://other.example/predict",
            "/predict?x=1",
        ] {
            #expect(bench.status(target) == 429, "\(target)")
        }
        #expect(bench.status("/predict%2F") == 400)
        #expect(bench.status("/PREDICT") == 200, "matching is case-sensitive, and so is what is forwarded")
    }

    @Test("methods, hosts, headers, tiers and addresses are conditions, and HEAD counts as GET")
    func conditions() throws {
        let bench = try Bench(
            """
            limits:
              - {name: m, match: {method: GET, path: /m}, rate: 1/minute}
              - {name: h, match: {host: "*.example.com", path: /h}, rate: 1/minute}
              - {name: f, match: {header: {X-Kind: slow}, path: /f}, rate: 1/minute}
              - {name: a, match: {address: 198.51.100.0/24, path: /a}, rate: 1/minute}
            """)
        #expect(bench.status(TestRequest(method: "HEAD", target: "/m")) == 200)
        #expect(bench.status(TestRequest(target: "/m")) == 429)
        #expect(bench.status(TestRequest(method: "POST", target: "/m")) == 200)
        #expect(bench.status(TestRequest(target: "/h", host: "API.example.com:80")) == 200)
        #expect(bench.status(TestRequest(target: "/h", host: "api.example.com.")) == 429)
        #expect(bench.status(TestRequest(target: "/h", host: "example.com")) == 200)
        #expect(bench.status("/f", headers: [("x-kind", "slow")]) == 200)
        #expect(bench.status("/f", headers: [("x-kind", "slow")]) == 429)
        #expect(bench.status("/f", headers: [("x-kind", "fast")]) == 200)
        #expect(bench.status("/a", from: "198.51.100.1") == 200)
        #expect(bench.status("/a", from: "198.51.100.1") == 429)
        #expect(bench.status("/a", from: "192.0.2.1") == 200)
    }

    @Test("a path is exempt only by every reading, and a parameter is cut out of the one that fits")
    func readings() throws {
        let bench = try Bench(
            """
            exempt: [{path: /static/*}]
            limits:
              - {name: users, match: {path: '/v1/users/{id}'}, key: [{param: id}], rate: 1/minute}
              - {name: all, rate: 100/minute}
            """)
        func isDenied(_ target: String, by template: String) throws -> Bool {
            let step = bench.request.begin(
                TestRequest(target: target), on: bench.limiter, peer: try #require(IPAddress("192.0.2.1")),
                route: MatchedRoute(template: template, path: target))
            guard case .verdict(.pass) = step else { return true }
            return false
        }
        _ = try isDenied("/static/a.css", by: "/**")
        #expect(!bench.request.isLimited)
        for target in ["/static/../v1/predict", "/static/%2e%2e/v1/predict", "/%73tatic/../v1"] {
            _ = try isDenied(target, by: "/**")
            #expect(bench.request.isLimited, "\(target)")
        }
        #expect(try !isDenied("/v1/users/7", by: "/{version}/users/{id}"))
        for target in ["/v1;aaaaaaXYZ/users/7", "/v1;b/users/7", "/%761/users/7", "/v1/users/%37"] {
            #expect(try isDenied(target, by: "/{version}/users/{id}"), "\(target)")
        }
        #expect(try !isDenied("/v1/users/8", by: "/{version}/users/{id}"))
    }

    @Test("an error of which nobody knows the status costs the highest cost listed")
    func failures() throws {
        let bench = try Bench(
            "limits: [{name: logins, rate: 2/minute, cost: {response: {status: {401: 1, 403: 1}, default: 0}}}]")
        for _ in 0..<2 {
            #expect(bench.status("/login") == 200)
            bench.request.responseFailed()
            bench.request.finish(isComplete: true)
        }
        #expect(bench.status("/login") == 429)
    }

    @Test("access, exemptions and the bypass")
    func access() throws {
        let secret = "correct horse battery"
        let bench = try Bench(
            """
            trusted_proxies: [10.0.0.1]
            tiers: {source: {header: X-Tier}, default: free}
            access:
              - {match: {path: "/premium/*"}, tier: [premium]}
              - {match: {address: 203.0.113.0/24}, deny: true}
            exempt: [{path: /health}]
            bypass: {header: X-Weir-Bypass, secret: {env: SECRET}}
            limits: [{name: a, rate: 1/minute}]
            """, environment: ["SECRET": secret])
        #expect(bench.status("/premium/x", headers: [("X-Tier", "premium")]) == 403, "not from anyone")
        #expect(bench.status("/premium", headers: []) == 403)
        #expect(bench.status("/premium/x", from: "10.0.0.1", headers: [("X-Tier", "premium")]) == 200)
        #expect(bench.status("/", from: "203.0.113.9") == 403)
        for _ in 0..<3 { #expect(bench.status("/health") == 200) }
        for _ in 0..<3 { #expect(bench.status("/", headers: [("X-Weir-Bypass", secret)]) == 200) }
        #expect(bench.status("/", headers: [("X-Weir-Bypass", secret + "x")]) == 200)
        #expect(bench.status("/", headers: [("X-Weir-Bypass", "")]) == 429)
        let preflight = TestRequest(
            method: "OPTIONS", headers: [("Origin", "https://a.example"), ("Access-Control-Request-Method", "POST")])
        #expect(bench.status(preflight) == 200, "a preflight is exempt")
    }
}

@Suite("What a request costs, and what the client is told")
struct CostAndHeaderTests {
    func body(_ json: String) -> ReceivedBody { .bytes(Array(json.utf8)) }

    @Test(
        "the cost in a body",
        arguments: [
            ("{\"inputs\": [1,2,3]}", 3), ("{\"inputs\": []}", 1), ("{}", 2), ("{\"inputs\": null}", 2), ("", 2),
            ("{\"inputs\": [1,2", 9), ("{\"inputs\": [1], \"inputs\": [1,2]}", 9),
            ("{\"inputs\": [1], \"in\\u0070uts\": []}", 9),
            ("{\"inputs\": 5}", 9), ("[1]", 2), ("{\"inputs\": [[1,2],{\"a\":[3]}]}", 2), ("nonsense", 9),
            ("{\"a\": \(String(repeating: "[", count: 500))", 9), ("{\"inputs\": \"abc\"}", 3),
        ] as [(String, Int64)])
    func jsonLength(_ json: String, _ expected: Int64) throws {
        let bench = try Bench("limits: [{name: a, rate: 9/minute, cost: {json_length: /inputs, default: 2, max: 9}}]")
        #expect(bench.status(TestRequest(method: "POST"), body: body(json)) == 200)
        #expect(bench.request.reportedDecision?.remaining == 9 - expected)
    }

    @Test(
        "the cost that is a number in a body",
        arguments: [
            ("5", 5), ("0", 1), ("-7", 1), ("2.1", 3), ("1e1", 10), ("\"5\"", 20), ("true", 20), ("1e-400", 1),
            ("9007199254740993", nil), ("1e400", nil), ("1e99999999999999999999", nil), ("21", nil), ("0.0000001", 1),
        ] as [(String, Int64?)])
    func jsonValue(_ value: String, _ expected: Int64?) throws {
        let bench = try Bench("limits: [{name: a, rate: 20/minute, cost: {json: /n, max: 20}}]")
        let status = bench.status(TestRequest(method: "POST"), body: body("{\"n\": \(value)}"))
        #expect(status == (expected == nil ? 413 : 200))
        if let expected { #expect(bench.request.reportedDecision?.remaining == 20 - expected) }
        #expect(bench.status(TestRequest(method: "POST"), body: .unreadable) == (expected == nil ? 200 : 429))
    }

    @Test("costs from a header and a query, given twice, are their max")
    func headerAndQuery() throws {
        let bench = try Bench(
            """
            limits:
              - {name: h, match: {path: /h}, rate: 10/minute, cost: {header: X-Cost, default: 1, max: 6}}
              - {name: q, match: {path: /q}, rate: 10/minute, cost: {query: n, default: 1, max: 6}}
            """)
        func remaining(_ target: String, _ headers: [(String, String)] = []) -> Int64? {
            bench.clock.advance(by: .seconds(60))
            #expect(bench.status(target, headers: headers) == 200)
            return bench.request.reportedDecision?.remaining
        }
        #expect(remaining("/h", [("X-Cost", "4")]) == 6)
        #expect(remaining("/h") == 9)
        #expect(remaining("/h", [("X-Cost", "1"), ("X-Cost", "2")]) == 4)
        #expect(remaining("/h", [("X-Cost", "abc")]) == 4)
        #expect(remaining("/q?n=4") == 6)
        #expect(remaining("/q?m=4") == 9)
        #expect(remaining("/q?n=1&n=2") == 4)
        #expect(remaining("/q?%6e=5") == 5, "the app decodes the name")
        #expect(remaining("/q?n=1&%6E=2") == 4)
        #expect(bench.status("/q?n=7") == 413)
    }

    @Test("a response cost admits while one unit is left, and is settled at the end")
    func responseCost() throws {
        let bench = try Bench(
            "limits: [{name: t, rate: 100/minute, algorithm: fixed-window, cost: {response: {json: /usage/total}, reserve: 10, default: 7}}]"
        )
        func send(_ json: String, complete: Bool = true, type: String = "application/json") -> Int64 {
            #expect(bench.status("/") == 200)
            #expect(bench.request.metersBody)
            bench.request.responseHead(status: 200) { $0.lowercased() == "content-type" ? [type] : [] }
            for byte in json.utf8 { withUnsafeBytes(of: byte) { bench.request.responseBody($0) } }
            bench.request.finish(isComplete: complete)
            bench.request.finish(isComplete: complete)
            let before = bench.request.begin(TestRequest(), on: bench.limiter, peer: IPAddress("192.0.2.1")!, cost: 0)
            _ = before
            return bench.request.reportedDecision?.remaining ?? -1
        }
        #expect(send("{\"usage\": {\"total\": 30}}") == 70, "charged after the fact")
        #expect(send("{\"usage\": {\"total\": 4}}") == 66, "what was reserved too much comes back")
        #expect(send("not json") == 56, "the larger of reserve and default where it can't be known")
        #expect(send("{\"usage\": {\"total\": 1}", complete: false) == 46, "so does a client that goes away")
        #expect(
            send(
                "data: {\"usage\": null}\n\ndata: {\"usage\": {\"total\": 9}}\r\n\r\ndata: [DONE]\n\n",
                type: "text/event-stream") == 37)
        #expect(send("{\"usage\": {\"total\": 90}}") == 0)
        #expect(bench.status("/") == 429, "in debt")
    }

    @Test("a reserve from the request is held: the largest of its pointers, its default, or all when it can't be read")
    func reserveInRequest() throws {
        func remaining(_ body: String, type: String = "fixed-window", max: String = "") throws -> Int64? {
            let bench = try Bench(
                """
                limits:
                  - name: t
                    rate: 100/hour
                    algorithm: \(type)
                    cost: {response: tokens, reserve: {json: [/max_tokens, /max_completion_tokens], default: 10}\(max)}
                """)
            #expect(bench.status(TestRequest(method: "POST"), body: .bytes(Array(body.utf8))) == 200)
            return bench.request.reportedDecision?.remaining
        }
        #expect(try remaining("{\"max_tokens\": 30}") == 70)
        #expect(try remaining("{\"max_tokens\": 1, \"max_completion_tokens\": 40}") == 60)
        #expect(try remaining("{}") == 90)
        #expect(try remaining("{\"max_tokens\": 0}") == 100)
        #expect(try remaining("{\"max_tokens\": 5000}") == 0, "clipped to the capacity")
        #expect(try remaining("{\"max_tokens\": 5000}", max: ", max: 80") == 20)
        #expect(try remaining("{\"max_tokens\": 1, \"max_tokens\": 2}") == 0, "unreadable: all of it")
        #expect(try remaining("{\"max_tokens\": \"x\"}", max: ", max: 80") == 20)
    }

    @Test("requests at once pass as far as their reserves fit, and end at what they cost")
    func holds() throws {
        let bench = try Bench(
            """
            limits: [{name: t, rate: 100/hour, cost: {response: tokens, reserve: {json: /max_tokens, default: 10}}}]
            """)
        let body = ReceivedBody.bytes(Array("{\"max_tokens\": 50}".utf8))
        let requests = (0..<5).map { _ in LimitedRequest(bench.limiter) }
        let passed = requests.map { request -> Bool in
            var step = request.begin(TestRequest(method: "POST"), on: bench.limiter, peer: IPAddress("192.0.2.1")!)
            if case .needsBody = step { step = request.resume(body: body) }
            if case .verdict(.pass) = step { return true } else { return false }
        }
        #expect(passed == [true, true, false, false, false])
        for request in requests[..<2] {
            request.responseHead(status: 200) { $0.lowercased() == "content-type" ? ["application/json"] : [] }
            let answer = Array("{\"usage\": {\"total_tokens\": 60}}".utf8)
            answer.withUnsafeBytes { request.responseBody($0) }
            request.finish(isComplete: true)
        }
        #expect(bench.status(TestRequest(method: "POST"), body: body) == 429, "120 of 100 are used")
        #expect(bench.request.reportedDecision?.retryAfter == .seconds(2520), "70 units at 36 s")
    }

    @Test("a reserve is clipped to what the window holds at that moment, in a warm-up too")
    func clipped() throws {
        let bench = try Bench(
            """
            limits:
              - name: t
                rate: 10000/minute
                warm_up: {factor: 0.05, after: 5m}
                cost: {response: tokens, reserve: 1024, default: 1}
            """)
        #expect(bench.status("/") == 200)
        #expect(bench.request.reportedDecision?.remaining == 0)
        #expect(bench.status("/") == 429, "one at a time")
        bench.clock.advance(by: .seconds(300))
        let other = LimitedRequest(bench.limiter)
        guard case .verdict(.pass) = other.begin(TestRequest(), on: bench.limiter, peer: IPAddress("192.0.2.9")!) else {
            Issue.record("denied")
            return
        }
        #expect(other.reportedDecision?.remaining == 8976)
    }

    @Test("a token bucket pays its debt in full, and at most `max` of it", arguments: [("", 1000), (", max: 25", 25)])
    func debt(_ max: String, _ most: Int64) throws {
        let bench = try Bench(
            "limits: [{name: t, rate: 10 per 2 seconds, cost: {response: {json: /n}, default: 1\(max)}}]")
        #expect(bench.status("/") == 200)
        bench.request.responseHead(status: 200) { $0.lowercased() == "content-type" ? ["application/json"] : [] }
        Array("{\"n\": 100000}".utf8).withUnsafeBytes { bench.request.responseBody($0) }
        bench.request.finish(isComplete: true)
        #expect(bench.status("/") == 429)
        // What is over the capacity, and one unit more, at 0.2 s each.
        let units = max.isEmpty ? 1000 + 1 : 15 + 1
        #expect(bench.request.reportedDecision?.retryAfter == .milliseconds(units * 200))
    }

    @Test("a key in the body has a budget for each value; what can't be relied on shares one")
    func bodyKeys() throws {
        func bench(_ key: String) throws -> Bench {
            try Bench("limits: [{name: m, rate: 2/hour, key: [client, {json: /model\(key)}]}]")
        }
        func statuses(_ bench: Bench, _ bodies: [String]) -> [Int] {
            bodies.map { bench.status(TestRequest(method: "POST"), body: .bytes(Array($0.utf8))) }
        }
        func models(_ values: String...) -> [String] { values.map { "{\"model\": \($0)}" } }
        #expect(try statuses(bench(""), models("\"a\"", "\"a\"", "\"b\"", "\"a\"")) == [200, 200, 200, 429])
        #expect(try statuses(bench(""), models("1", "1.0", "\"1\"", "1e0", "10")) == [200, 200, 429, 429, 200])
        #expect(
            try statuses(bench(""), ["{}", "{\"model\": \"a\", \"model\": \"b\"}", "{", "{\"model\": {}}"])
                == [200, 200, 429, 429], "one shared value")
        let long = "\"" + String(repeating: "x", count: 257) + "\""
        #expect(try statuses(bench(""), models("null", long, "[]")) == [200, 200, 429])
        #expect(try statuses(bench(""), models("\"a\"", "\"\\u0061\"", "\"a\"")) == [200, 200, 429], "escapes")
        let known = try bench(", known: [a, b]")
        #expect(statuses(known, models("\"x\"", "\"y\"", "\"z\"", "\"a\"", "\"b\"")) == [200, 200, 429, 200, 200])
        let caseless = try bench(", ignore_case: true")
        #expect(statuses(caseless, models("\"A\"", "\"a\"", "\"a\"")) == [200, 200, 429])
        #expect(
            try bench("").status(TestRequest(method: "POST", headers: [("Content-Encoding", "gzip")])) == 200,
            "what is compressed shares the value, too")
    }

    @Test("a prefix in a match fits numbers as they are written, and any with an exponent")
    func bodyPrefixes() throws {
        func isLimited(_ value: String) throws -> Bool {
            let bench = try Bench(
                "limits: [{name: v, match: {json: {/version: ['1.*', '2020*']}}, rate: 1/hour}, {name: o, rate: 9/hour}]"
            )
            let body = ReceivedBody.bytes(Array("{\"version\": \(value)}".utf8))
            #expect(bench.status(TestRequest(method: "POST"), body: body) == 200)
            return bench.status(TestRequest(method: "POST"), body: body) == 429
        }
        for value in ["1.5", "\"1.5\"", "1.50", "2020", "\"2020-01-01\"", "20200", "15e-1", "7e0"] {
            #expect(try isLimited(value), "\(value)")
        }
        for value in ["2.5", "202", "\"v1.5\"", "true"] { #expect(try !isLimited(value), "\(value)") }
    }

    @Test("a limit that doesn't match the body refuses nothing for its cost")
    func tooCostlyElsewhere() throws {
        let bench = try Bench(
            "limits: [{name: a, match: {json: {/model: [a]}}, rate: 10/hour, cost: {header: X-Cost, max: 5}}, {name: b, rate: 9/hour}]"
        )
        func status(_ model: String) -> Int {
            bench.status(
                TestRequest(method: "POST", headers: [("X-Cost", "50")]),
                body: .bytes(Array("{\"model\": \"\(model)\"}".utf8)))
        }
        #expect(status("a") == 413 && status("b") == 200)
    }

    @Test("leaving before the status is known costs the highest cost listed")
    func statusUnknown() throws {
        let bench = try Bench("limits: [{name: login, rate: 2/hour, cost: {response: {status: {401: 1}}}}]")
        for expected in [200, 200, 429] {
            #expect(bench.status("/") == expected)
            bench.request.finish(isComplete: false)
        }
    }

    @Test("a match in the body applies to the values listed, and to what can't be relied on, and not to what is absent")
    func bodyMatches() throws {
        func isLimited(_ body: ReceivedBody, headers: [(String, String)] = []) throws -> Bool {
            let bench = try Bench(
                """
                limits:
                  - {name: g, match: {json: {/model: [gpt-4*, o1, 7]}}, rate: 1/hour}
                  - {name: other, rate: 1000/hour}
                """)
            let request = TestRequest(method: "POST", headers: headers)
            #expect(bench.status(request, body: body) == 200)
            return bench.status(request, body: body) == 429
        }
        func model(_ value: String) -> ReceivedBody { .bytes(Array("{\"model\": \(value)}".utf8)) }
        // Apps that ignore the case of keys may take another than Weir.
        for text in ["{\"Model\": \"x\"}", "{\"model\": \"x\", \"MODEL\": \"gpt-4\"}", "{\"\\u004dodel\": \"x\"}"] {
            #expect(try isLimited(.bytes(Array(text.utf8))), "\(text)")
        }
        #expect(try !isLimited(.bytes(Array("{\"models\": \"gpt-4\"}".utf8))))
        #expect(try isLimited(.bytes(Array("{\"model\": \"\\u0061".utf8) + [0xFF] + Array("\"}".utf8))), "not UTF-8")
        #expect(try isLimited(model("\"\\ud800\"")), "half a character")
        for value in ["\"gpt-4\"", "\"gpt-4o-mini\"", "\"o1\"", "7.0", "\"\\u006f1\"", "[]"] {
            #expect(try isLimited(model(value)), "\(value)")
        }
        for value in ["\"gpt-3\"", "\"o1-mini\"", "\"GPT-4\"", "null", "8"] {
            #expect(try !isLimited(model(value)), "\(value)")
        }
        #expect(try !isLimited(.none) && !isLimited(.bytes(Array("{}".utf8))))
        #expect(try isLimited(.unreadable) && isLimited(.bytes(Array("{\"model\"".utf8))))
        #expect(try isLimited(.bytes(Array("{\"model\": \"a\", \"model\": \"b\"}".utf8))))
        #expect(try isLimited(.bytes([0xFF, 0xFE] + Array("{".utf8))), "UTF-16")
        #expect(try isLimited(.bytes(Array("{\"model\": \"".utf8) + [0xC3, 0x28] + Array("\"}".utf8))), "not UTF-8")
        #expect(try isLimited(model("\"a\""), headers: [("Content-Encoding", "br")]))
    }

    @Test("failed logins alone are counted by their status")
    func statusCost() throws {
        let bench = try Bench(
            "limits: [{name: login, rate: 2/minute, cost: {response: {status: {401: 1, 403: 1}, default: 0}}}]")
        for (answer, expected) in [(200, 200), (401, 200), (200, 200), (401, 200), (200, 429)] {
            #expect(bench.status("/") == expected)
            bench.request.responseHead(status: answer) { _ in [] }
            bench.request.finish(isComplete: true)
        }
    }

    @Test("permits are held until the request ends, on every way in which it can")
    func permits() throws {
        let bench = try Bench("limits: [{name: gpu, algorithm: concurrency, limit: 1, key: [global]}]")
        let other = LimitedRequest(bench.limiter)
        func begin(_ request: LimitedRequest) -> Bool {
            if case .verdict(.pass) = request.begin(TestRequest(), on: bench.limiter, peer: IPAddress("192.0.2.1")!) {
                true
            } else {
                false
            }
        }
        #expect(begin(bench.request))
        #expect(!begin(other))
        #expect(LimitHeaders.seconds(other.reportedDecision!) == nil)
        var headers: [String: String] = [:]
        other.writeHeaders { headers[$0] = $1 }
        #expect(headers["Retry-After"] == "1", "a hint")
        bench.request.finish(isComplete: false)
        #expect(begin(other))
        #expect(begin(other), "a request that begins anew gives back what the last one held")
        other.finish(isComplete: true)
        #expect(begin(bench.request))
    }

    @Test("every limited response has the headers of the draft, the older ones, and Retry-After on a denial")
    func headers() throws {
        let bench = try Bench(
            """
            limits:
              - {name: per-client, rate: 60/minute}
              - {name: predict, rate: 20/minute; 2000/hour, match: {path: /predict}}
              - {name: tighter, rate: 1/minute, mode: shadow}
            """)
        #expect(bench.status("/predict") == 200)
        let expected = "\"per-client\";q=60;w=60, \"predict\";q=20;w=60, \"predict-2\";q=2000;w=3600"
        #expect(bench.headers["RateLimit-Policy"] == expected)
        #expect(bench.headers["RateLimit"] == "\"predict\";r=19;t=3")
        #expect(bench.headers["X-RateLimit-Limit"] == "20")
        #expect(bench.headers["X-RateLimit-Remaining"] == "19")
        #expect(bench.headers["X-RateLimit-Reset"] == "1790000003")
        #expect(bench.headers["Retry-After"] == nil)
        for _ in 0..<19 { #expect(bench.status("/predict") == 200) }
        #expect(bench.status("/predict") == 429)
        #expect(bench.headers["RateLimit"] == "\"predict\";r=0;t=3")
        #expect(bench.headers["Retry-After"] == "3")
        #expect(bench.request.violatedPolicies == ["predict"])
        bench.clock.advance(by: .microseconds(2999999))
        #expect(bench.status("/predict") == 429)
        #expect(bench.headers["Retry-After"] == "1", "never 0")
        bench.clock.advance(by: .microseconds(1))
        #expect(bench.status("/predict") == 200)
    }

    @Test("header fields can be switched off and renamed")
    func settings() throws {
        let bench = try Bench(
            """
            headers: {ratelimit: false, retry_after: false, reset: delta, names: {limit: X-Limit}}
            limits: [{name: a, rate: 1/minute}]
            """)
        #expect(bench.status("/") == 200)
        #expect(bench.headers == ["X-Limit": "1", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "60"])
    }

    @Test("warm-up divides the limit once, and what it alone forbids may be tried when it is over")
    func warmUp() throws {
        let bench = try Bench(
            "limits: [{name: a, rate: 10/minute, cost: {header: X-Cost, max: 10}, warm_up: {factor: 0.25, after: 5m}}]")
        for expected in [200, 200, 429] { #expect(bench.status("/") == expected) }
        #expect(bench.headers["RateLimit-Policy"] == "\"a\";q=2;w=60")
        #expect(bench.status("/", headers: [("X-Cost", "3")]) == 429)
        #expect(bench.headers["Retry-After"] == "300")
        bench.clock.advance(by: .seconds(300))
        #expect(bench.status("/", headers: [("X-Cost", "10")]) == 200)
        #expect(bench.headers["RateLimit-Policy"] == "\"a\";q=10;w=60")
    }

    @Test("a tier has its own rate, an unknown one the default's, and unlimited charges nothing")
    func tiers() throws {
        let bench = try Bench(
            """
            trusted_proxies: [10.0.0.1]
            tiers: {source: {header: X-Tier}, default: free}
            client: [{header: X-User, from: trusted_proxies}]
            limits: [{name: a, rate: {free: 1/minute, pro: 2/minute, internal: unlimited}}]
            """)
        func statuses(_ user: String, _ tier: String) -> [Int] {
            (0..<3).map { _ in bench.status("/", from: "10.0.0.1", headers: [("X-User", user), ("X-Tier", tier)]) }
        }
        #expect(statuses("a", "free") == [200, 429, 429])
        #expect(statuses("b", "pro") == [200, 200, 429])
        #expect(statuses("c", "internal") == [200, 200, 200])
        #expect(bench.headers.isEmpty)
        #expect(statuses("d", "gold") == [200, 429, 429])
    }

    @Test("a slow store takes the same way and gives the same verdicts")
    func pendingStore() async throws {
        let reading = Policy.read("limits: [{name: a, rate: 1/minute}, {name: b, rate: 5/minute}]", file: "f")
        let clock = ManualClock()
        let slow = SlowStore(before: MemoryStore(clock: clock))
        let limiter = try RequestLimiter(policy: try #require(reading.policy), store: slow, clock: clock)
        let request = LimitedRequest(limiter)
        for expected in [true, false] {
            guard case .pending(let answer) = request.begin(TestRequest(), on: limiter, peer: IPAddress("192.0.2.1")!)
            else {
                Issue.record("it should wait")
                return
            }
            slow.release()
            if case .pass = request.resume(decisions: await answer.value) {
                #expect(expected)
            } else {
                #expect(!expected)
            }
        }
    }

    @Test("a number that is too long for a structured field is the longest that isn't")
    func longNumbers() throws {
        let clock = ManualClock()
        var rule = LimitRule("queue", try Rate(1_000_000_000, perTicks: 1))
        rule.algorithm = .leakyBucket
        rule.maxWait = .seconds(60)
        let limiter = try RequestLimiter(policy: Policy(limits: [rule]), clock: clock)
        let request = LimitedRequest(limiter)
        guard case .verdict(.pass) = request.begin(TestRequest(), on: limiter, peer: IPAddress("192.0.2.1")!) else {
            Issue.record("it should pass")
            return
        }
        var headers: [String: String] = [:]
        request.writeHeaders { headers[$0] = $1 }
        #expect(headers["RateLimit"]?.hasPrefix("\"queue\";r=999999999999999;") == true)
        #expect(headers["X-RateLimit-Remaining"]?.count == 17)
    }

    @Test("a reload keeps the counters of limits whose name, algorithm, key and period stay")
    func reload() throws {
        let bench = try Bench("limits: [{name: a, rate: 2/minute, algorithm: fixed-window}, {name: b, rate: 9/minute}]")
        #expect(bench.status("/") == 200)
        let changed = Policy.read(
            "limits: [{name: a, rate: 3/minute, algorithm: fixed-window}, {name: b, rate: 9/hour}, {name: c, rate: 9/day}]",
            file: "f")
        let policy = try #require(changed.policy)
        let next = try RequestLimiter(
            policy: policy, store: bench.limiter.store, clock: bench.clock, replacing: bench.limiter)
        #expect(next.limitsStartingAfresh(since: bench.limiter) == ["b"])
        #expect(next.limitsAdded(since: bench.limiter) == ["c"])
        _ = bench.request.begin(TestRequest(), on: next, peer: IPAddress("192.0.2.1")!)
        #expect(bench.request.reportedDecision?.remaining == 1, "one was spent before the reload, one after")
    }
}

@Suite("A request whose body a limit needs")
struct UnreadBodyTests {
    private func step(_ bench: Bench, _ target: String = "/") -> LimitedRequest.Step {
        bench.request.begin(
            TestRequest(method: "POST", target: target), on: bench.limiter, peer: IPAddress("192.0.2.1")!)
    }

    /// Whether the request is denied without its body, by exactly these limits.
    private func isDeniedUnread(_ bench: Bench, by limits: [String]) -> Bool {
        guard case .verdict(.answer(let problem)) = step(bench) else { return false }
        return problem.status == 429 && bench.request.violatedPolicies == limits
    }

    private func needsBody(_ bench: Bench) -> Bool {
        if case .needsBody = step(bench) { true } else { false }
    }

    @Test(
        "is denied unread by a limit that needs no body",
        arguments: ["cost: {json: /n, max: 5}", "key: {json: /user}", "match: {json: {/model: [a]}}"])
    func deniedUnread(_ needs: String) throws {
        let bench = try Bench(
            "limits: [{name: calls, rate: 2/minute}, {name: body, rate: 9/minute, \(needs)}]")
        for _ in 0..<2 {
            #expect(needsBody(bench))
            #expect(
                bench.status(TestRequest(method: "POST"), body: .bytes(Array(#"{"n": 1, "model": "a"}"#.utf8))) == 200)
        }
        #expect(isDeniedUnread(bench, by: ["calls"]))
        #expect(bench.headers["Retry-After"] == "30")
        #expect(bench.headers["RateLimit-Policy"]?.contains("calls") == true)
        bench.clock.advance(by: .seconds(30))
        #expect(needsBody(bench))
    }

    @Test("costs nothing until its body is there")
    func unchargedUnread() throws {
        let bench = try Bench(
            "limits: [{name: calls, rate: 2/minute}, {name: body, rate: 9/minute, cost: {json: /n, max: 5}}]")
        for _ in 0..<9 { #expect(needsBody(bench)) }
        #expect(bench.status(TestRequest(method: "POST"), body: .bytes(Array("{}".utf8))) == 200)
        #expect(bench.request.reportedDecision?.remaining == 1)
    }

    @Test(
        "is read when only a limit in shadow mode denies, and when a limit counts denied requests",
        arguments: ["mode: shadow", "count_denied: true"])
    func readAllTheSame(_ setting: String) throws {
        let bench = try Bench(
            "limits: [{name: calls, rate: 1/minute, \(setting)}, {name: body, rate: 99/minute, cost: {json: /n, max: 5}}]"
        )
        for _ in 0..<3 {
            #expect(needsBody(bench))
            _ = bench.status(TestRequest(method: "POST"), body: .bytes(Array("{}".utf8)))
        }
    }
}
