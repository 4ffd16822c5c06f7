import Foundation
import TestSupport
import Testing

extension EndToEnd {
    @Suite("Several gateways on one store", .serialized)
    struct SharedStoreTests {
        let folder: Folder

        init() throws { folder = try Folder() }

        /// nginx: an API that answers at once, and a balancer before so many gateways.
        private func balancer(api: Int, listen: Int, gateways: [Int]) throws -> Program {
            let temp = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map {
                "\($0)_temp_path \(folder.url.path)/\($0);"
            }
            let file = try folder.write(
                """
                daemon off; master_process off; pid \(folder.url.path)/nginx.pid; error_log /dev/null;
                events { worker_connections 512; }
                http {
                  access_log off; \(temp.joined(separator: " "))
                  upstream gateways { \(gateways.map { "server 127.0.0.1:\($0);" }.joined(separator: " ")) keepalive 16; }
                  server { listen 127.0.0.1:\(api); location / { return 200 "ok"; } }
                  server {
                    listen 127.0.0.1:\(listen);
                    location / { proxy_pass http://gateways; proxy_http_version 1.1; proxy_set_header Connection ""; }
                  }
                }
                """, "nginx.conf")
            return try Program("/usr/sbin/nginx", ["-p", folder.url.path, "-c", file], in: folder)
        }

        @Test("a client has the same hash in every log with the same key secret, whatever the store")
        func clientHash() async throws {
            let redis = try await RedisServer(folder)
            func hash(_ secret: String, store: String) async throws -> String {
                let weir = try await Weir(
                    try Folder(), upstream: try freePort(),
                    """
                    store: \(store)
                    client: [{header: X-Key}]
                    limits: [{name: a, rate: 1/hour, cost: {header: X-Cost}}]
                    """, environment: ["WEIR_KEY_SECRET": secret])
                for _ in 0..<2 { _ = try weir.request("GET", "/", headers: ["X-Key": "alice", "X-Cost": "1"]) }
                let program = weir.program
                try await until("the denial is logged") { program.log.contains("weir.denials") }
                let line = try #require(program.log.split(separator: "\n").first { $0.contains("weir.denials") })
                let fields = try #require(try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
                return try #require(fields["client"] as? String)
            }
            let first = try await hash("a secret of the operators", store: "memory")
            #expect(first.count == 16)
            #expect(try await hash("a secret of the operators", store: "memory") == first)
            #expect(try await hash("a secret of the operators", store: redis.url) == first)
            #expect(try await hash("some other secret of theirs", store: "memory") != first)
        }

        @Test("three gateways behind nginx hold one limit together, under load")
        func threeGateways() async throws {
            let redis = try await RedisServer(folder)
            let api = try freePort()
            let listen = try freePort()
            var gateways: [Weir] = []
            for _ in 0..<3 {
                gateways.append(
                    try await Weir(
                        try Folder(), upstream: api,
                        """
                        store: \(redis.url)
                        trusted_proxies: [127.0.0.1]
                        limits:
                          - {name: hour, rate: 50/hour, algorithm: fixed-window}
                        """))
            }
            let nginx = try balancer(api: api, listen: listen, gateways: gateways.map(\.port))
            try await until("nginx listens: \(nginx.log)") { (try? Connection(listen)) != nil }
            let load = try Program(
                "/usr/bin/wrk", ["-t1", "-c8", "-d2s", "http://127.0.0.1:\(listen)/v1/models"], in: folder)
            #expect(try await load.wait() == 0, "\(load.log)")
            func number(before text: String) -> Int? {
                load.log.split(separator: "\n").first { $0.contains(text) }?
                    .split(whereSeparator: { !$0.isNumber }).first.flatMap { Int($0) }
            }
            let requests = try #require(number(before: "requests in"), "\(load.log)")
            let others = try #require(
                load.log.split(separator: "\n").first { $0.contains("Non-2xx") }?.split(separator: ":").last
                    .flatMap { Int($0.trimmingCharacters(in: .whitespaces)) }, "\(load.log)")
            #expect(requests - others == 50, "\(load.log)")
            for gateway in gateways {
                let metrics = try gateway.metrics()
                #expect(metrics.contains("weir_store_up 1"))
                #expect(!metrics.contains("weir_store_failures_total{"), "\(metrics)")
            }
            // Who is denied costs Redis nothing: nearly all were answered by the gateways.
            let commands = try redis.ask("INFO", "commandstats").split(whereSeparator: \.isNewline)
                .first { $0.hasPrefix("cmdstat_evalsha:") }
            let calls = try #require(
                commands?.split(separator: ",").first?.split(separator: "=").last.flatMap { Int($0) })
            #expect(calls * 20 < requests, "\(calls) calls for \(requests) requests")
        }

        @Test(
            "a store that can't be reached or used is one clear line, and --require-store decides whether Weir starts")
        func unusable() async throws {
            let port = try freePort()
            let policy =
                "upstream: http://127.0.0.1:1\nlisten: 127.0.0.1:\(try freePort())\nadmin: off\nlimits: [{name: a, rate: 1/s}]\n"
            _ = try folder.write(policy, "weir.yaml")
            let store = ["WEIR_STORE": "redis://:hunter2-hunter2@127.0.0.1:\(port)/1"]
            let required = try Program(Weir.binary, ["serve", "--require-store"], in: folder, environment: store)
            #expect(try await required.wait() == 1)
            let lines = required.log.split(separator: "\n").filter { !$0.hasPrefix("{") }
            #expect(lines.count == 1, "\(required.log)")
            #expect(
                required.log.contains(
                    "weir: the store redis://127.0.0.1:\(port)/1 can't be used: no connection to the store at 127.0.0.1:\(port): Connection refused"
                ), "\(required.log)")
            #expect(!required.log.contains("hunter2"))
            let optional = try Program(Weir.binary, ["serve"], in: folder, environment: store)
            try await until("it starts without: \(optional.log)") { optional.log.contains("listening") }
            #expect(optional.log.contains("starting without it, with 'on_store_failure' in effect, and trying again"))
            // It is there later: then its limits are shared.
            optional.signal(SIGTERM)
            #expect(try await optional.wait() == 0)
            let locked = try await RedisServer(folder, .redis, "--requirepass", "another-password")
            let wrong = try Program(
                Weir.binary, ["serve", "--require-store"], in: folder,
                environment: ["WEIR_STORE": "redis://:hunter2-hunter2@127.0.0.1:\(locked.port)"])
            #expect(try await wrong.wait() == 1)
            #expect(wrong.log.contains("WRONGPASS") && !wrong.log.contains("hunter2"), "\(wrong.log)")
            let short = try Program(
                Weir.binary, ["serve"], in: folder, environment: ["WEIR_STORE": locked.url, "WEIR_KEY_SECRET": "short"])
            #expect(try await short.wait() == 1)
            #expect(short.log.contains("WEIR_KEY_SECRET must have at least 16 characters"), "\(short.log)")
        }

        /// How the store stalls, how it heals, and for how long it does not answer.
        enum Stall: String, CaseIterable {
            case stopped, killed, readOnly, full
        }

        /// In `make test-slow` for 30 s.
        static let stallTime: Duration =
            ProcessInfo.processInfo.environment["WEIR_SLOW"] == nil ? .seconds(1) : .seconds(30)

        @Test(
            "while the store stalls, each mode is honoured, nobody waits beyond the deadline, and it heals",
            arguments: Stall.allCases)
        func stalls(_ stall: Stall) async throws {
            let redis = try await RedisServer(folder)
            let api = try freePort()
            let nginx = try balancer(api: api, listen: try freePort(), gateways: [1])
            try await until("nginx listens: \(nginx.log)") { (try? Connection(api)) != nil }
            let weir = try await Weir(
                try Folder(), upstream: api,
                """
                store: \(redis.url)
                limits:
                  - {name: own, match: {path: /local}, rate: 1000000/second, on_store_failure: local}
                  - {name: open, match: {path: /allow}, rate: 1000000/second, on_store_failure: allow}
                  - {name: closed, match: {path: /deny}, rate: 1000000/second, on_store_failure: deny}
                """)
            let paths = ["/local", "/allow", "/deny"]
            for path in paths { #expect(try weir.get(path).status == 200) }
            let memory = weir.program.residentBytes
            switch stall {
            case .stopped: redis.program?.signal(SIGSTOP)
            case .killed: try await redis.kill()
            case .readOnly: try redis.ask("REPLICAOF", "127.0.0.1", "1")
            case .full: try redis.ask("CONFIG", "SET", "maxmemory", "1")
            }
            var waits: [Duration] = []
            let start = ContinuousClock.now
            while ContinuousClock.now - start < Self.stallTime {
                for path in paths {
                    let asked = ContinuousClock.now
                    let status = try weir.get(path).status
                    waits.append(ContinuousClock.now - asked)
                    // Before the loss is noticed the store may still have answered.
                    #expect(
                        path == "/deny" ? status == 503 || waits.count < 4 : status == 200,
                        "\(stall) \(path): \(status)")
                }
            }
            waits.sort()
            let slowest = waits[waits.count * 99 / 100]
            #expect(slowest < .milliseconds(50 + 30), "a bound that the issue names; the rest is the request itself")
            #expect(weir.program.residentBytes - memory < 20_000_000)
            if case .full = stall {
                #expect(try weir.metrics().contains("weir_store_up 0"))
                #expect(weir.program.log.components(separatedBy: "the store refuses").count == 2, "told once")
            }
            let healed = ContinuousClock.now
            switch stall {
            case .stopped: redis.program?.signal(SIGCONT)
            case .killed: try await redis.start()
            case .readOnly: try redis.ask("REPLICAOF", "NO", "ONE")
            case .full: try redis.ask("CONFIG", "SET", "maxmemory", "0")
            }
            try await until("it heals") { try weir.get("/deny").status == 200 }
            try await until("it counts as up") { try weir.metrics().contains("weir_store_up 1") }
            #expect(ContinuousClock.now - healed < .seconds(2), "a bound that the issue names")
            print("\(stall): \(waits.count) requests, p99 \(slowest), healed within \(ContinuousClock.now - healed)")
        }

        @Test("a gateway that started without its store shares its limits when the store comes")
        func comesLater() async throws {
            let redis = try await RedisServer(folder)
            let api = try freePort()
            let nginx = try balancer(api: api, listen: try freePort(), gateways: [1])
            try await until("nginx listens: \(nginx.log)") { (try? Connection(api)) != nil }
            try await redis.kill()
            let policy = "store: \(redis.url)\nlimits: [{name: hour, rate: 6/hour, algorithm: fixed-window}]\n"
            let first = try await Weir(try Folder(), upstream: api, policy)
            #expect(try first.get("/").status == 200, "decided in this process")
            try await redis.start()
            let second = try await Weir(try Folder(), upstream: api, policy)
            try await until("both share") {
                let metrics = try first.metrics() + second.metrics()
                return !metrics.contains("weir_store_up 0")
            }
            var admitted = 0
            for _ in 0..<5 {
                for gateway in [first, second] where try gateway.get("/").status == 200 { admitted += 1 }
            }
            #expect(admitted == 6)
            #expect(nginx.isRunning)
        }
    }
}
