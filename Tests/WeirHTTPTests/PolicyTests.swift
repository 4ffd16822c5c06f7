import Foundation
import Testing
import Weir

@testable import WeirHTTP

@Suite("The policy's text")
struct PolicyTests {
    func errors(_ yaml: String, environment: [String: String] = [:]) -> [String] {
        Policy.read(yaml, file: "weir.yaml", environment: environment).diagnostics
            .filter { $0.severity == .error }.map(\.description)
    }

    func warnings(_ yaml: String) -> [String] {
        Policy.read(yaml, file: "weir.yaml").diagnostics.filter { $0.severity == .warning }.map(\.message)
    }

    func policy(_ yaml: String, environment: [String: String] = [:]) throws -> Policy {
        let reading = Policy.read(yaml, file: "weir.yaml", environment: environment)
        return try #require(reading.policy, "\(reading.diagnostics)")
    }

    @Test(
        "rates are read in all their spellings",
        arguments: [
            ("20/minute", [(20, 60, 20)]), ("20/m", [(20, 60, 20)]), ("20 / min", [(20, 60, 20)]),
            ("20 per minute", [(20, 60, 20)]), ("20 per 5 minutes", [(20, 300, 20)]),
            ("20 PER 5 MINUTES", [(20, 300, 20)]),
            ("20/minute burst 64; 2000/hour", [(20, 60, 64), (2000, 3600, 2000)]), ("1/month", [(1, 30 * 86400, 1)]),
            ("1/year", [(1, 365 * 86400, 1)]), ("7/week;1/day", [(7, 604_800, 7), (1, 86400, 1)]), ("5/s", [(5, 1, 5)]),
            ("1_000/hour", [(1000, 3600, 1000)]),
        ] as [(String, [(Int64, Int64, Int64)])])
    func rates(_ text: String, _ expected: [(Int64, Int64, Int64)]) throws {
        let rates = try #require(try RateText.rates(text))
        #expect(rates.map(\.count) == expected.map(\.0))
        #expect(rates.map(\.period) == expected.map { $0.1 * 1_000_000 })
        #expect(rates.map(\.burst) == expected.map(\.2))
    }

    @Test(
        "what is no rate is an error that says why",
        arguments: [
            "", "20", "20/", "/minute", "20/fortnight", "0/minute", "1000000001/minute", "-1/minute", "2.5/minute",
            "20/minute burst", "20/minute burst 0", "20/minute;20/60 seconds", "1 per 400 days", "20/minute;",
            "20/minute/hour",
            "99999999999999999999/minute", "1 per 99999999999999999999 days", "٢/minute",
        ])
    func badRates(_ text: String) {
        #expect(throws: ValueError.self) { try RateText.rates(text) }
    }

    @Test("errors name the file, the line, the column and what was probably meant")
    func places() {
        let found = errors(
            """
            listn: 127.0.0.1:80
            limits:
              - name: a
                rate: 20/minte
                algoritm: gcra
              - name: b
                rate: 20/minute
                algorithm: fixed-windw
            """)
        #expect(found.count == 4)
        #expect(found[0] == "weir.yaml:1:1: error: unknown key 'listn' in the policy; did you mean 'listen'?")
        #expect(
            found.contains {
                $0.hasPrefix("weir.yaml:4:11: error: 'rate': unknown unit 'minte'")
                    && $0.hasSuffix("did you mean 'minute'?")
            })
        #expect(found.contains("weir.yaml:5:5: error: unknown key 'algoritm' in a limit; did you mean 'algorithm'?"))
        #expect(found.contains { $0.hasPrefix("weir.yaml:8:16: error: unknown algorithm 'fixed-windw'") })
    }

    @Test(
        "mistakes are errors",
        arguments: [
            ("limits: [{name: a, rate: 1/s}, {name: a, rate: 2/s}]", "used twice"),
            ("limits: [{name: a, rate: 1/s; 2/m}, {name: a-2, rate: 2/s}]", "collides with a window of 'a'"),
            ("limits: [{name: a, rate: {free: 1/s}}]", "needs 'tiers'"),
            ("tiers: {default: pro}\nlimits: [{name: a, rate: {free: 1/s}}]", "no entry for the default tier 'pro'"),
            ("limits: [{name: a, rate: 1/s, cost: {json: /n, max: 5}}]", "above the limit's capacity of 1"),
            ("limits: [{name: a, rate: 1/s, cost: 2}]", "above the limit's capacity"),
            ("limits: [{name: a, rate: 1/s, limit: 3}]", "'limit' belongs to concurrency"),
            ("limits: [{name: a, algorithm: concurrency, rate: 1/s}]", "concurrency takes 'limit'"),
            ("limits: [{name: a, algorithm: concurrency, limit: 1, count_denied: true}]", "no meaning for concurrency"),
            ("limits: [{name: a, rate: 1/s, sync: lease}]", "did you mean 'leased'?"),
            ("limits: [{name: a, rate: 1/s, algorithm: sliding-log, sync: leased}]", "not for sliding-log"),
            ("limits: [{name: a, algorithm: concurrency, limit: 1, sync: leased}]", "not for concurrency"),
            ("limits: [{name: a, rate: 1/s, max_wait: 2s}]", "'max_wait' belongs to leaky-bucket"),
            ("limits: [{name: a, rate: 1/s, algorithm: leaky-bucket, max_wait: 61s}]", "must be from"),
            ("limits: [{name: a, rate: 1/s; 2/m, burst: 3}]", "single window"),
            ("limits: [{name: a, rate: 1/s, warm_up: {factor: 1.5, after: 5m}}]", "at most 1"),
            ("limits: [{name: a, rate: 1/s, warm_up: {factor: 0.5}}]", "'warm_up' needs"),
            ("limits: [{name: a, rate: 1/s, match: {path: predict}}]", "must begin with '/'"),
            ("limits: [{name: a, rate: 1/s, match: {path: '/a*b'}}]", "only at a path's end"),
            ("limits: [{name: a, rate: 1/s, match: {path: '/a{b}'}}]", "whole segment"),
            ("limits: [{name: a, rate: 1/s, key: [{param: id}]}]", "'{id}'"),
            ("limits: [{name: a, rate: 1/s, key: []}]", "at least one dimension"),
            ("limits: [{name: a, rate: 1/s, key: clinet}]", "did you mean 'client'?"),
            ("limits: {a: b}", "must be a list"),
            ("limits: [{rate: 1/s}]", "needs a 'name'"),
            ("store: redis://user:secret@localhost", "a password must not stand in the policy"),
            ("bypass: {header: X-B, secret: hunter2}", "a secret must not stand in the policy"),
            ("bypass: {header: X-B, secret: {env: NOT_SET}}", "is not set"),
            ("bypass: {header: X-B, secret: {env: SHORT}}", "at least 16 characters"),
            ("upstream: ${NOT_SET}", "'NOT_SET' is not set"),
            ("upstream: ftp://x", "must be a URL"),
            ("access: [{match: {path: /a}}]", "needs either 'tier'"),
            ("exempt: [{}]", "would exempt everything"),
            ("client: [{header: X-A, address: {}}]", "exactly one of"),
            ("client: [{header: 'X A'}]", "not a header's name"),
            ("client: [{header: Authorization}]", "write 'bearer: {known: …}'"),
            ("client: [{bearer: {file: a}}]", "unknown key 'file' in 'bearer'"),
            ("client: [{bearer: {}, header: X-A}]", "exactly one of"),
            ("trusted_proxies: [10.0.0.0/33]", "not an address or a range"),
            ("listen: []", "an empty list"),
            ("listen: [127.0.0.1]", "an address and a port such as"),
            ("listen: unix:run/weir.sock", "unix: and a path"),
            ("listen: https://unix:/run/weir.sock", "must be an address"),
            ("listen: ['*:8080', 'http://*:8080']", "twice"),
            ("listen: https://127.0.0.1:8443", "needs a certificate"),
            ("tls: {certificate: a.pem}", "needs 'certificate' and 'key'"),
            ("tls: [a.pem]", "'tls' must be a mapping"),
            ("tls: {certificate: a.pem, keys: b.pem}", "did you mean 'key'?"),
            ("gateway: {socket_mode: 9}", "in octal"),
            ("limits: [{name: a, rate: 9/s, cost: {response: token}}]", "did you mean 'tokens'?"),
            ("limits: [{name: a, rate: 9/s, cost: {response: {sum: []}}}]", "'sum' needs a list of parts"),
            ("limits: [{name: a, rate: 9/s, cost: {response: {sum: [{weight: 1}]}}}]", "needs 'json'"),
            (
                "limits: [{name: a, rate: 9/s, cost: {response: {sum: [{json: /n, weight: 1e3}]}}}]",
                "at most six decimals"
            ),
            ("limits: [{name: a, rate: 9/s, cost: {response: {sum: [{json: /n, weight: -1}]}}}]", "always 0"),
            ("limits: [{name: a, rate: 9/s, cost: {response: {json: []}}}]", "empty list of JSON pointers"),
            ("limits: [{name: a, rate: 9/s, cost: {response: {json: [/a, b]}}}]", "'b' is not a JSON pointer"),
            ("limits: [{name: a, rate: 9/s, cost: {response: {json: /a}, errors: no}}]", "must be one of free, charge"),
            ("limits: [{name: a, rate: 9/s, cost: {json: /n, json_items: /m}}]", "exactly one of"),
            ("admin: {hosts: ['a:9090']}", "is not a host name; leave the port away"),
            ("admin: {listen: here}", "'admin' must be an address and a port"),
            ("cors: {credentials: true}", "'cors' needs 'origins'"),
            ("cors: {origins: ['*']}", "'*' is not an origin such as"),
            ("cors: {origins: [https://a.example/x]}", "is not an origin such as"),
            ("gateway: {max_concurrent_streams: 0}", "1 to 10000"),
            ("a: &x 1\nb: *x", "anchors and aliases"),
            ("listen: 1\nlisten: 2", "given twice"),
            ("listen: [", "weir.yaml:"),
            ("", "empty"),
            ("- a", "must be a mapping"),
            ("threads: 0", "1 to 1024"),
            ("body_limit: 99999999999999999999", "whole number"),
            ("limits: [{name: a, rate: 1/s, match: {path: []}}]", "empty list"),
            ("limits: [{name: a, rate: 1/s, match: {host: 'a.com:8080'}}]", "not a host name"),
            ("limits: [{name: a, rate: 2/s, cost: {json_length: /x, default: 10}}]", "'default' of 10 is above"),
            (
                "limits: [{name: a, rate: 9/s, algorithm: leaky-bucket, cost: {response: {json: /x}}}]",
                "before the response"
            ),
            ("store: 'redis://:secret@${SHORT}:1'", "a password must not stand"),
            ("a: &_x 1\nb: *_x", "anchors and aliases"),
            ("access: [{match: {path: /a}, tier: []}]", "empty list"),
        ])
    func mistakes(_ yaml: String, _ expected: String) {
        let found = errors(yaml, environment: ["SHORT": "hunter2"])
        #expect(found.contains { $0.contains(expected) }, "\(found)")
    }

    @Test("every key that a policy may have is asked for, so that none is accepted and ignored")
    func everyKey() throws {
        let whole = try keys(
            """
            listen: 127.0.0.1:8080
            tls: {certificate: c.pem, key: k.pem}
            upstream: http://127.0.0.1:8000
            admin: {listen: 127.0.0.1:9090, hosts: [weir.internal]}
            threads: 2
            store: {memory: {capacity: 5}}
            on_store_failure: local
            instances: 2
            trusted_proxies: [10.0.0.0/8]
            address_header: Forwarded
            paths: strict
            body_limit: 1000
            gateway: {header_timeout: 1s, idle_timeout: 1s, connect_timeout: 1s, response_timeout: 1s,
              max_connection_age: 1s, drain_timeout: 1s, max_header_size: 9000, max_connections: 9, max_connections_per_address: 9,
              max_concurrent_streams: 9, max_delayed: 9, socket_mode: 0600}
            log: {denials_per_second: 5}
            headers: {ratelimit: true, x_ratelimit: true, retry_after: true, problem: true, reset: unix,
              names: {ratelimit: A, ratelimit_policy: B, limit: C, remaining: D, reset: E}}
            cors: {origins: [https://app.example.com], credentials: true}
            client:
              - {header: X-A, from: trusted_proxies, known: {file: keys.txt, redis_hash: 'k:{client}', field: f}}
              - {bearer: {known: {file: keys.txt}}}
              - {jwt: {claim: sub, keys: k.json, issuer: i, audience: a}}
              - {address: {ipv6_prefix: 64}}
            tiers:
              source: {header: X-T, file: keys.txt, redis_hash: 'k:{client}', field: f, jwt: {claim: t}}
              default: free
            access: [{match: {path: /a}, tier: [pro]}, {deny: true}]
            exempt: [{path: /b}]
            bypass: {header: X-B, secret: {env: A, file: b}}
            limits:
              - name: a
                match: {method: GET, host: a.example, path: '/{id}', header: {X-A: b}, tier: [pro], address: [10.0.0.0/8], json: {/m: [a]}}
                key: [{header: X-A}, {jwt: sub}, {param: id}, {address: {ipv6_prefix: 48}}, {json: /m, known: [a], ignore_case: true}]
                rate: 9/minute
                burst: 9
                cost: {json: /n, default: 1, max: 2}
                warm_up: {factor: 0.5, after: 1m}
                mode: enforce
                count_denied: true
                on_store_failure: local
                sync: exact
              - {name: b, rate: 9/minute, algorithm: fixed-window, align: epoch, cost: {header: X-C}}
              - {name: c, rate: 9/minute, algorithm: leaky-bucket, max_wait: 1s, cost: {query: q}}
              - {name: d, algorithm: concurrency, limit: 3, cost: {json_length: /n}}
              - {name: e, rate: 9/minute, cost: {response: {status: {401: 1}, default: 0}, reserve: 1}}
              - {name: f, rate: 9/minute, cost: {response: {header: X-C}, errors: charge}}
              - {name: h, rate: 9/minute, cost: {response: {sum: [{json: /n, weight: 0.5}]}, default: 1}}
              - {name: i, rate: 9/minute, cost: {json_items: /n}}
              - {name: j, rate: 9/minute, cost: {response: tokens, reserve: {header: X-C, default: 1}}}
              - {name: k, rate: 9/minute, cost: {response: tokens, reserve: {query: q, default: 1}}}
              - {name: l, rate: 9/minute, cost: {response: tokens, reserve: {json: /n, default: 1}}}
              - {name: m, rate: 9/minute, cost: {response: tokens, reserve: {json_length: /n, default: 1}}}
              - {name: n, rate: 9/minute, cost: {response: tokens, reserve: {json_items: /n, default: 1}}}
              - {name: g, rate: 9/minute, cost: {response: {json: /n}},
                 warm_up: {factor: 0.5, until: {path: /ready}}}
            """)
        // The alternatives to what the first policy has.
        let others = try keys(
            """
            client: [{header: X-A, known: {redis_hash: 'k:{client}', field: f}}]
            tiers: {source: {redis_hash: 'k:{client}', field: f}, default: free}
            bypass: {header: X-B, secret: {file: b}}
            """)
        for section in PolicySection.all {
            #expect(whole.given[section.name] == Set(section.keys), "this test's policy lacks keys of \(section.name)")
            let asked = [whole, others].reduce(into: Set<String>()) { $0.formUnion($1.asked[section.name] ?? []) }
            let ignored = Set(section.keys).subtracting(asked)
            #expect(ignored.isEmpty, "keys of \(section.name) that nobody reads")
        }
    }

    /// Reads a policy, and tells which keys it has and which the reader asked for.
    private func keys(_ yaml: String) throws -> PolicyDocument {
        let document = PolicyDocument(file: "weir.yaml", environment: [:])
        let root = try #require(document.compose(yaml))
        _ = PolicyReader(document: document, environment: [:]).policy(root)
        return document
    }

    @Test("docs/policy.md names every key that a policy may have")
    func documented() throws {
        let file = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appending(path: "../../docs/policy.md")
        let words = try String(contentsOf: file, encoding: .utf8).split {
            !$0.isLetter && !$0.isNumber && $0 != "_"
        }
        let missing = Set(PolicySection.all.flatMap(\.keys)).subtracting(words.map(String.init))
        #expect(missing.isEmpty)
    }

    @Test("the policy of the design is read as it is meant")
    func design() throws {
        let policy = try policy(
            """
            listen: 127.0.0.1:8080
            upstream: http://127.0.0.1:8000
            admin: 127.0.0.1:9090
            threads: 2
            store: memory
            on_store_failure: local
            trusted_proxies: [10.0.0.0/8]
            client:
              - header: X-User
                from: trusted_proxies
              - address: {ipv6_prefix: 64}
            tiers:
              source: {header: X-Tier}
              default: free
            access:
              - match: {path: "/premium/*"}
                tier: [premium, enterprise]
              - match: {address: [203.0.113.0/24]}
                deny: true
            exempt:
              - path: /health
            bypass: {header: X-Weir-Bypass, secret: {env: WEIR_BYPASS_SECRET}}
            limits:
              - name: per-client
                rate: {free: 60/minute, pro: 600/minute, enterprise: 6000/minute, internal: unlimited}
              - name: predict
                match: {method: POST, path: /predict}
                rate: 20/minute burst 64; 2000/hour
                cost: {json_length: /inputs, default: 1, max: 64}
                warm_up: {factor: 0.2, until: {path: /ready}}
              - name: tokens
                match: {path: "/v1/chat/*"}
                rate: 100000/minute
                cost: {response: {json: /usage/total_tokens}, reserve: 500}
              - name: gpu
                match: {path: "/predict*"}
                key: [global]
                algorithm: concurrency
                limit: 8
              - name: tighter
                rate: 30/minute
                mode: shadow
            """, environment: ["WEIR_BYPASS_SECRET": "0123456789abcdef"])
        #expect(policy.limits.map(\.name) == ["per-client", "predict", "tokens", "gpu", "tighter"])
        #expect(policy.limits[4].isShadow)
        #expect(policy.limits[3].key == [.global])
        #expect(policy.server.threads == 2)
    }

    @Test(
        "what can hardly be meant is a warning",
        arguments: [
            ("client: [{header: X-Key}]\nlimits: [{name: a, rate: 1/s}]", "anyone can send any 'X-Key'"),
            ("limits: [{name: a, rate: 1/s, key: [path]}]", "use 'route', which is the matched pattern"),
            ("limits: [{name: a, rate: 1/s, key: [{header: X-Org}]}]", "every new value buys a fresh budget"),
            ("exempt: [{path: '/*'}]\nlimits: [{name: a, rate: 1/s, match: {path: /b}}]", "never applies"),
            (
                "access: [{match: {path: /b}, deny: true}]\nlimits: [{name: a, rate: 1/s, match: {path: /b}}]",
                "never applies"
            ),
            ("limits: [{name: a, rate: 1/s, match: {tier: pro}}]", "has no 'tiers'"),
            ("limits: [{name: a, rate: 1/s, match: {method: PSOT}}]", "did you mean 'POST'?"),
            ("limits: [{name: a, rate: unlimited}]", "does nothing"),
            ("limits: [{name: a, rate: 1000000/day, algorithm: sliding-log}]", "16 bytes for each request"),
            ("client: [{header: X-U, from: trusted_proxies}]\nlimits: [{name: a, rate: 1/s}]", "it is never used"),
            ("trusted_proxies: [0.0.0.0/0]\nlimits: [{name: a, rate: 1/s}]", "trusts everybody"),
            ("client: [{address: {}}, {header: X-U}]\nlimits: [{name: a, rate: 1/s}]", "are never used"),
            ("listen: 127.0.0.1:1", "no limits"),
            ("exempt: [{path: '/*'}]\nlimits: [{name: a, rate: 1/s}]", "never applies"),
            ("limits: [{name: a, rate: 1/s, key: [client, method]}]", "chooses the 'method'"),
            (
                "client: [{header: X-K}]\nlimits: [{name: a, rate: 1/s}, {name: h, rate: 1/s, key: [host]}]",
                "anyone can send any 'X-K'"
            ),
            (
                "client: [{header: X-K}]\nlimits: [{name: a, rate: 1/s}, {name: c, algorithm: concurrency, limit: 9, key: [address]}]",
                "anyone can send any 'X-K'"
            ),
            ("tiers: {default: free}\nlimits: [{name: a, rate: 1/s, match: {tier: pr0}}]", "nobody has the tier 'pr0'"),
        ])
    func warned(_ yaml: String, _ expected: String) {
        #expect(errors(yaml).isEmpty)
        let found = warnings(yaml)
        #expect(found.contains { $0.contains(expected) }, "\(found)")
    }

    @Test("a header identity beside a limit on the address draws no warning")
    func protectedHeader() {
        let yaml = """
            client: [{header: X-Key}]
            limits: [{name: a, rate: 1/s}, {name: b, rate: 9/s, key: [address]}]
            """
        #expect(warnings(yaml).isEmpty)
    }

    @Test("no text crashes the reader")
    func fuzz() {
        let seed = """
            limits: [{name: a, rate: "20/minute burst 64; 2000/hour", match: {path: "/a/{b}/*"}, cost: {json: /a~1b, max: 3}}]
            tiers: {default: free, source: {header: X}}
            gateway: {idle_timeout: 5s}
            """
        var random = SystemRandomNumberGenerator()
        let bytes = Array(seed.utf8)
        let noise = Array("{}[]:,-'\"*&#|>%@!\n \t0123456789abz/\\~$".utf8)
        for _ in 0..<3000 {
            var mutated = bytes
            for _ in 0..<Int.random(in: 1...6, using: &random) {
                let place = Int.random(in: 0..<mutated.count, using: &random)
                switch Int.random(in: 0..<3, using: &random) {
                case 0: mutated[place] = noise.randomElement(using: &random)!
                case 1: mutated.insert(noise.randomElement(using: &random)!, at: place)
                default: mutated.remove(at: place)
                }
            }
            _ = Policy.read(String(decoding: mutated, as: UTF8.self), file: "f")
        }
    }

    @Test("an address to listen on is read with its scheme, and only sockets never speak TLS")
    func listenAddresses() throws {
        let speaksTLS = { (text: String) in ListenAddress(text).map { $0.speaksTLS(hasCertificates: true) } }
        #expect(speaksTLS("*:8443") == true)
        #expect(speaksTLS("http://127.0.0.1:8080") == false)
        #expect(speaksTLS("https://[::1]:8443") == true)
        #expect(speaksTLS("unix:/run/weir.sock") == false)
        #expect(ListenAddress("127.0.0.1:8080")?.speaksTLS(hasCertificates: false) == false)
        #expect(ListenAddress("*:8080")?.place == .allInterfaces(port: 8080))
        #expect(ListenAddress("unix:/" + String(repeating: "a", count: 107)) == nil)
        for text in ["", "unix:", "unix:a", "https://", "ftp://a:1", "127.0.0.1", "a:99999", "http://unix:/a"] {
            #expect(ListenAddress(text) == nil, "\(text)")
        }
    }

    @Test("a Unix socket without a trusted proxy is warned of, because all its clients count as one")
    func unixSocketWarning() {
        let policy = "listen: unix:/run/weir.sock\nlimits: [{name: a, rate: 1/s}]\n"
        let warnings = { Policy.read($0, file: "weir.yaml").diagnostics.map(\.description) }
        #expect(warnings(policy).contains { $0.contains("weir.yaml:1:9: warning: whoever connects through the Unix") })
        #expect(warnings(policy + "trusted_proxies: [unix]").isEmpty)
    }

    @Test("the JSON Schema for editors knows the same keys as the parser, section by section")
    func schemaKeys() throws {
        let url = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appending(
            path: "../../docs/weir.schema.json")
        let schema = try #require(try JSONSerialization.jsonObject(with: Data(contentsOf: url)) as? [String: Any])
        let definitions = try #require(schema["$defs"] as? [String: [String: Any]])
        #expect(Set(definitions.keys) == Set(PolicySection.all.map(\.name)))
        for section in PolicySection.all {
            let properties = try #require(definitions[section.name]?["properties"] as? [String: Any])
            #expect(Set(properties.keys) == Set(section.keys), "\(section.name)")
        }
        let limit = try #require(definitions["limit"]?["properties"] as? [String: [String: Any]])
        #expect(Set(limit["algorithm"]?["enum"] as? [String] ?? []) == Set(Algorithm.all.map(\.rawValue) + ["gcra"]))
    }
}
