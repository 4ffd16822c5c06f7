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
        #expect(rates.map(\.periodTicks) == expected.map { $0.1 * 1_000_000 })
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
        "what other notations mean is said in ours",
        arguments: [
            ("limits: [{name: a, rate: 20/minute burst=20}]", "write '20/minute burst 20'"),
            ("limits: [{name: a, rate: 10r/s}]", "write '10/second'"),
            ("limits: [{name: a, rate: 100rpm}]", "write '100/minute'"),
            ("limits: [{name: a, rate: 10/5s}]", "write '10 per 5 seconds'"),
            ("limits: [{name: a, rate: 100/hour/user}]", "write '100/hour'"),
            ("limits: [{name: a, rate: '60/minute, burst 20'}]", "write '60/minute burst 20'"),
            ("limits: [{name: a, rate: 10k/hour}]", "write '10000/hour'"),
            ("limits: [{name: a, rate: 1.5/second}]", "write '90/minute'"),
            ("limits: [{name: a, rate: 60/minute and 1000/hour}]", "write '60/minute; 1000/hour'"),
            ("limits: [{name: a, rate: many}]", "write a rate as"),
            ("limits: [{name: a, rate: 1/s, match: {path: '^/predict/[0-9]+$'}}]", "not regular expressions"),
            ("limits: [{name: a, rate: 1/s, match: {path: '/v[12]/x'}}]", "not regular expressions"),
            ("limits: [{name: a, rate: 1/s, match: {path: '/users/:id'}}]", "write '{id}'"),
            ("limits: [{name: a, rate: 1/s, match: {path: '/users/<int:id>'}}]", "write '{id}'"),
            ("limits: [{name: a, rate: 1/s, match: {path: '/v1/**'}}]", "write '/v1/*'"),
            ("limits: [{name: a, rate: 1/s, match: {path: '/p;x=1'}}]", "';' begins parameters"),
            ("limits:\n  - name: a\n    rate: 1/s\n    match: {path: *}", "must be in quotes"),
            ("limits:\n  - name: a\n    rate:60/minute", "weir.yaml:3:1: error: a blank must follow the colon"),
            ("limits:\n  - name: 'a\n    rate: 1/s\n", "weir.yaml:2:1: error: a quote on this line"),
            ("limits:\n  - {name: a\n  - {name: b}\n", "weir.yaml:2:1: error: a bracket that opens on this line"),
            ("limits: [{name: a, rate: {limit: 60, window: 1m}}]", "write a rate as one text"),
            ("limits: [{name: a, rate: [1/s, 2/m]}]", "with ';' between them"),
            ("limits: [{name: a, rate: 60/minute burst 20 nodelay}]", "write '60/minute burst 20'"),
            ("limits: [{name: a, rate: 9/s, key: {json: model}}]", "write '/model'"),
            ("limits: [{name: a, rate: 9/s, key: 'client, address'}]", "write [client, address]"),
            ("limits: [{name: a, rate: 9/s, key: [{json: /m, known: [a*]}]}]", "'known' lists whole values"),
            ("limits: [{name: a, rate: 9/s, match: {json: {/m: a*b}}}]", "only at the end of a value"),
            (
                "limits: [{name: a, rate: 9/s, cost: {response: {json: /x, reserve: 1}}}]",
                "it belongs beside 'response'"
            ),
            ("tiers: {source: {header: X-T}}", "'tiers' needs a 'default', the tier of clients"),
            ("tiers: {default: a b}", "a tier's name must be"),
            ("limits: [{name: a, rate: 1/s, match: {path: '/users/{id:int}'}}]", "write '{id}', not '{id:int}'"),
            ("limits: [{name: a, rate: 1/s, match: {path: '/a/{p:path}/b'}}]", "so it must be its end"),
            ("limits: [{name: a, rate: 1/s, match: {path: /users/{id}}}]", "put quotes around"),
            ("limits:\n\t- {name: a, rate: 1/s}", "indent with spaces"),
            ("limits:\n  - name: a\n   rate: 1/s", "must begin alike"),
            ("limits: []\n---\nlimits: []", "a second document"),
            ("upstream: https://a.example", "TLS to the upstream is not supported yet"),
            ("upstream: ${X:-http://a}", "a default can't be given here"),
            ("exempt: [/health]", "write '- path: /health'"),
            ("client: [{header: X-A, known: keys.txt}]", "write 'known: {file: keys.txt}'"),
            ("client: [{jwt: {claim: sub, keys: 'https://a.example/jwks'}}]", "'keys' is a file"),
            ("limits: [{name: a, rate: 9/s, cost: {json_len: /n}}]", "did you mean 'json_length'?"),
            ("limits: [{name: a, rate: 9/s, key: ip}]", "is called 'address' here"),
            ("limits: [{name: a, rate: 9/s, key: nobody}]", "client, address, route"),
            ("listen: 127.0.0.1:80\nadmin: 127.0.0.1:80", "can't have the same address"),
            ("listen: '*:80'\nadmin: 127.0.0.1:80", "can't have the same address"),
            ("body_limit: 10 parsecs", "not a size"),
            ("exempt: [{json: {/a: b}}]", "'json' belongs to the match of a limit"),
            ("limits: [{name: a, rate: 9/s, match: {json: {a: b}}}]", "not a JSON pointer"),
            ("limits: [{name: a, rate: 9/s, match: {json: {/a: []}}}]", "matches nothing"),
            ("limits: [{name: a, rate: 9/s, match: {json: /a}}]", "a mapping of pointers and values"),
            ("limits: [{name: a, rate: 9/s, key: [{header: X-A, known: [a]}]}]", "belongs to 'json'"),
            (
                "limits: [{name: a, rate: 9/s, cost: {response: tokens, reserve: {json: /n}}}]",
                "needs a 'default', for requests"
            ),
            (
                "limits: [{name: a, rate: 9/s, cost: {response: tokens, reserve: {jsn: /n, default: 1}}}]",
                "did you mean 'json'?"
            ),
            (
                "limits: [{name: a, rate: 9/s, sync: leased, cost: {response: tokens, reserve: 2, default: 1}}]",
                "can't be leased"
            ),
        ])
    func otherNotations(_ yaml: String, _ word: String) {
        let found = errors(yaml)
        #expect(found.contains { $0.contains(word) }, "\(found)")
        #expect(found.allSatisfy { $0.firstMatch(of: #/^weir.yaml:\d+:\d+: /#) != nil }, "\(found)")
    }

    @Test("a cost's max may be one for each tier, and is told which tier it is too large for")
    func mostByTier() throws {
        func found(_ most: String) -> [String] {
            errors(
                "tiers: {default: free}\nlimits: [{name: a, rate: {free: 5/m, pro: 50/m}, cost: {json: /n, max: \(most)}}]"
            )
        }
        #expect(found("{free: 5, pro: 50}").isEmpty)
        #expect(found("20").first?.contains("above the capacity of the tier 'free', which is 5") == true)
        #expect(
            found("{free: 5, pro: 51}").first?.contains("above the capacity of the tier 'pro', which is 50") == true)
        #expect(found("{pro: 50}").first?.contains("no entry for the default tier 'free'") == true)
        #expect(
            errors("limits: [{name: a, rate: 9/m, cost: {json: /n, max: {a: 1}}}]").first?.contains("needs 'tiers'")
                == true)
        let bench = try Bench(
            """
            trusted_proxies: [192.0.2.1]
            tiers: {source: {header: X-Tier}, default: free}
            limits: [{name: a, rate: {free: 5/m, pro: 50/m}, cost: {header: X-Cost, max: {free: 5, pro: 50}}}]
            """)
        func status(_ cost: String, _ tier: String) -> Int {
            bench.status("/", headers: [("X-Cost", cost), ("X-Tier", tier)])
        }
        #expect(status("6", "free") == 413 && status("6", "pro") == 200 && status("51", "pro") == 413)
        #expect(status("6", "unheard") == 413, "the default tier's")
    }

    @Test("a byte order mark is skipped, sizes may have units, and `{name:path}` takes the rest of a path")
    func accepted() throws {
        #expect(errors("\u{FEFF}limits: []").isEmpty)
        #expect(try policy("body_limit: 10MB").maximumBodySize == 10_000_000)
        #expect(try policy("body_limit: 64 KiB").maximumBodySize == 65_536)
        #expect(try policy("gateway: {max_header_size: 16kB}").gateway.maxHeaderSize == 16_000)
        let pattern = PathPattern("/files/{p:path}")
        #expect(pattern.value(of: "p", in: "/files/a/b") == "a/b")
        #expect(pattern.parameters == ["p"])
        var index = PathIndex()
        index.insert(pattern, id: 1)
        var found: [Int] = []
        index.forEachMatch("/files/a/b/c") { found.append($0) }
        #expect(found == [1])
    }

    @Test("lines of a keys file that are probably wrong are warned of, by their numbers and without the keys")
    func keysFile() throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "weir-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let keys = "# keys\nk1 pro\nk2 gold\nk3 prro\nk4\nk5,pro\nk6: pro\n\"k7\" pro\nk1 pro\nk8 pro extra\n"
        try keys.write(to: folder.appending(path: "keys.txt"), atomically: true, encoding: .utf8)
        let reading = Policy.read(
            """
            client: [{header: X-Key, known: {file: keys.txt}}]
            tiers: {source: {file: keys.txt}, default: free}
            limits: [{name: a, rate: {free: 1/s, pro: 2/s, platinum: 9/s}}]
            """, file: folder.appending(path: "weir.yaml").path)
        let warnings = reading.diagnostics.map(\.description).map { $0.replacing(folder.path + "/", with: "") }
        func expect(_ line: Int, _ word: String) {
            #expect(warnings.contains { $0.hasPrefix("keys.txt:\(line):1: warning: ") && $0.contains(word) }, "\(word)")
        }
        expect(3, "no limit has a rate for the tier 'gold', so its clients get that of 'free'")
        expect(4, "'prro', so its clients get that of 'free'; did you mean 'pro'?")
        expect(5, "this client has no tier, so it gets 'free'")
        expect(6, "with ',' in it")
        expect(7, "the key ends with ':'")
        expect(8, "begins with a quote")
        expect(9, "there twice")
        expect(10, "what follows the tier 'pro' is ignored")
        #expect(warnings.contains { $0.contains("weir.yaml:3:10: warning: nobody has the tier 'platinum'") })
        #expect(!warnings.contains { $0.contains("k1") || $0.contains("k5") || $0.contains("k7") })
        #expect(warnings.count == 9, "\(warnings)")
    }

    @Test("a keys file may have lines that end as on Windows, and a byte order mark")
    func windowsKeys() {
        let directory = ClientFile(file: "f", text: "# keys\r\nalice pro\r\nbob=pro\r\n") { line, message in
            #expect(line == 3 && message.contains("with '=' in it"))
        }
        #expect(directory.entry("alice")?.tier == "pro" && directory.clients.count == 2)
        #expect("\u{FEFF}alice".withoutByteOrderMark == "alice")
    }

    @Test("a missing keys file is the only error about itself; an unreadable policy says why")
    func missingFiles() throws {
        let found = errors(
            "tiers: {source: {file: /nowhere/keys.txt}, default: free}\nlimits: [{name: a, rate: {free: 1/s}}]")
        #expect(found.count == 1 && found.first?.contains("there is no file '/nowhere/keys.txt'") == true, "\(found)")
        let none = Policy.read(contentsOf: "/nowhere/weir.yaml", environment: [:]).diagnostics
        #expect(none.first?.message.contains("there is no such file") == true)
        let folder = Policy.read(contentsOf: "/tmp", environment: [:]).diagnostics
        #expect(folder.first?.message.contains("it is a folder") == true)
    }

    @Test("costs from the response that many requests at once, or failures, could evade are warned of")
    func evadedCosts() {
        let cost = "cost: {response: tokens, default: 9, reserve: 5}"
        func found(_ limits: String) -> [String] { warnings("limits:\n" + limits) }
        let covered = "  - {name: r, rate: 60/m}\n"
        #expect(found("  - {name: a, rate: 99/m, \(cost)}\n" + covered).isEmpty)
        #expect(found("  - {name: a, rate: 99/m, \(cost)}\n").contains { $0.contains("limits the number of these") })
        let unreserved = "  - {name: a, rate: 99/m, cost: {response: tokens, default: 9}}\n" + covered
        #expect(found(unreserved).contains { $0.contains("without a 'reserve'") })
        #expect(found(unreserved + "  - {name: c, algorithm: concurrency, limit: 2}\n").isEmpty)
        #expect(found("  - {name: a, rate: 99/m, cost: {response: {status: {401: 1}}}}\n").isEmpty)
    }

    @Test("an admin port that everybody reaches, and body keys of any value, are warned of")
    func open() {
        #expect(
            warnings("admin: 0.0.0.0:9090\nlimits: [{name: a, rate: 1/s}]").contains {
                $0.contains("open to everybody")
            })
        let key = "limits: [{name: a, rate: 9/m, key: [client, {json: /model"
        #expect(warnings(key + "}]}]").contains { $0.contains("freely chooses the 'json:/model'") })
        #expect(warnings(key + ", known: [a]}]}]").isEmpty)
        #expect(warnings(key + "}], match: {json: {/model: [a, b]}}}]").isEmpty)
        #expect(!warnings(key + "}], match: {json: {/model: [a*]}}}]").isEmpty)
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
            ("body_limit: 99999999999999999999", "not a size"),
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
              max_connection_age: 1s, drain_timeout: 1s, max_header_size: 9000, max_connections: 9,
              max_connections_per_address: 9, body_memory: 9MB,
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
        #expect(policy.gateway.threads == 2)
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
        #expect(
            Set(limit["algorithm"]?["enum"] as? [String] ?? []) == Set(Algorithm.allCases.map(\.rawValue) + ["gcra"]))
    }
}
