import Foundation
import TestSupport
import Testing

extension EndToEnd {
    @Suite("weir serve, before real programs", .serialized)
    struct GatewayTests {
        let folder: Folder

        init() throws { folder = try Folder() }

        @Test("a FastAPI service is protected without a change in it")
        func fastAPI() async throws {
            let api = try await SampleAPI(folder)
            let weir = try await Weir(
                folder, upstream: api.port,
                """
                exempt: [{path: /health}]
                limits:
                  - {name: per-client, rate: 100/minute}
                  - name: predict
                    match: {method: POST, path: /predict}
                    rate: 5/hour
                    cost: {json_length: /inputs, max: 5}
                """)
            let json = ["Content-Type": "application/json"]
            let first = try weir.request("POST", "/predict", headers: json, body: "{\"inputs\": [\"a\", \"bb\"]}")
            #expect(first.status == 200)
            #expect(first.body == "{\"outputs\":[1,2]}")
            #expect(first["RateLimit-Policy"] == "\"per-client\";q=100;w=60, \"predict\";q=5;w=3600")
            #expect(first["X-RateLimit-Remaining"] == "3")
            let second = try weir.request(
                "POST", "/predict", headers: json, body: "{\"inputs\": [\"a\", \"b\", \"c\", \"d\"]}")
            #expect(second.status == 429)
            #expect(second["Content-Type"] == "application/problem+json")
            #expect(try second.json["violated-policies"] as? [String] == ["predict"])
            let wait = try #require(second["Retry-After"].flatMap { Int($0) })
            #expect((700...720).contains(wait), "one unit of five an hour")
            #expect(
                try weir.request("POST", "/predict", headers: json, body: "{\"inputs\": [1,2,3,4,5,6]}").status == 413)
            #expect(try weir.get("/health")["RateLimit-Policy"] == nil)
            #expect(try weir.metrics().contains("weir_limit_requests_total{limit=\"predict\",outcome=\"denied\"} 1"))
            let program = weir.program
            try await until("the denial is logged") { program.log.contains("\"logger\":\"weir.denials\"") }
            let line = try #require(program.log.split(separator: "\n").first { $0.contains("weir.denials") })
            let fields = try #require(try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
            #expect(fields["limits"] as? [String] == ["predict"])
            #expect(fields["path"] as? String == "/predict")
        }

        @Test("what the upstream sees: the matched path, one true client address, nothing that a client made up")
        func forwarding() async throws {
            let api = try await SampleAPI(folder)
            let weir = try await Weir(
                folder, upstream: api.port,
                """
                client: [{header: X-User, from: trusted_proxies}]
                bypass: {header: X-Weir-Bypass, secret: {env: SECRET}}
                limits: [{name: a, rate: 1000/minute, match: {method: [GET, POST]}}]
                """, environment: ["SECRET": "0123456789abcdef"])
            let answer = try weir.request(
                "POST", "/x/../echo//%61?q=%2F",
                headers: [
                    "X-Forwarded-For": "6.6.6.6", "Forwarded": "for=6.6.6.6", "X_Forwarded_For": "6.6.6.6",
                    "X-User": "root",
                    "X-Real-IP": "6.6.6.6", "X-Weir-Bypass": "0123456789abcdef", "X-HTTP-Method-Override": "DELETE",
                    "Keep-Alive": "timeout=9", "TE": "trailers", "X-Kept": "yes", "X-Named": "dropped",
                    "Expect": "100-continue",
                    "Proxy-Authorization": "secret",
                ], body: "hello")
            let start = try #require(answer.text.range(of: "HTTP/1.1 200"))
            let final = try RawResponse(String(answer.text[start.lowerBound...]))
            let json = try final.json
            #expect(json["path"] as? String == "/echo/a")
            #expect(json["query"] as? String == "q=%2F")
            #expect(json["length"] as? Int == 5)
            let headers = try #require(json["headers"] as? [[String]])
            func values(_ name: String) -> [String] { headers.filter { $0[0] == name }.map { $0[1] } }
            #expect(values("x-forwarded-for") == ["127.0.0.1"])
            #expect(values("x-forwarded-proto") == ["http"])
            #expect(values("x-kept") == ["yes"])
            #expect(values("host") == ["localhost"])
            for name in [
                "forwarded", "x_forwarded_for", "x-user", "x-real-ip", "x-weir-bypass", "x-http-method-override",
                "keep-alive", "te", "expect", "proxy-authorization", "connection",
            ] {
                #expect(values(name).isEmpty, "\(name)")
            }
        }

        @Test("an event stream arrives event by event")
        func eventStream() async throws {
            let api = try await SampleAPI(folder)
            let weir = try await Weir(folder, upstream: api.port, "limits: [{name: a, rate: 100/minute}]")
            let connection = try Connection(weir.port)
            try connection.send("GET /events HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            let beginning = try connection.read(until: "data: first\n\n")
            #expect(!beginning.contains("second"), "the upstream holds the second until it is released")
            #expect(try weir.get("/release").status == 200)
            #expect(try connection.readToEnd().contains("data: second\n\n"))
        }

        @Test("a long upload is streamed in constant memory")
        func upload() async throws {
            // The long form sends 1 GB; see `make test-slow`.
            let size = ProcessInfo.processInfo.environment["WEIR_SLOW"] == nil ? 64 << 20 : 1 << 30
            let api = try await SampleAPI(folder)
            let weir = try await Weir(folder, upstream: api.port, "limits: [{name: a, rate: 100/minute}]")
            _ = try weir.get("/health")
            let before = weir.program.residentBytes
            let connection = try Connection(weir.port)
            try connection.send(
                "POST /sink HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: \(size)\r\n\r\n")
            let block = [UInt8](repeating: 0x61, count: 1 << 20)
            var most = before
            for _ in 0..<(size >> 20) {
                try connection.send(block)
                most = max(most, weir.program.residentBytes)
            }
            #expect(try RawResponse(connection.readToEnd()).json["length"] as? Int == size)
            #expect(most - before < 24 << 20, "\((most - before) >> 20) MiB more")
        }

        @Test("a client that goes away frees its permit, and the upstream is told")
        func clientGone() async throws {
            let api = try await SampleAPI(folder)
            let weir = try await Weir(
                folder, upstream: api.port,
                "limits: [{name: gpu, algorithm: concurrency, limit: 1, key: [global], match: {path: /hold}}]")
            var connection: Connection? = try Connection(weir.port)
            try connection?.send("GET /hold HTTP/1.1\r\nHost: localhost\r\n\r\n")
            try await until("the upstream holds it") { try weir.get("/state").json["active"] as? Int == 1 }
            let denied = try weir.get("/hold")
            #expect(denied.status == 429)
            #expect(denied["Retry-After"] == "1")
            connection = nil
            try await until("the upstream is told") { try weir.get("/state").json["cancelled"] as? Int == 1 }
            let next = try Connection(weir.port)
            try next.send("GET /hold HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            try await until("the permit is free") { try weir.get("/state").json["active"] as? Int == 1 }
            #expect(try weir.get("/release").status == 200)
            #expect(try RawResponse(next.readToEnd()).status == 200)
            #expect(try weir.get("/hold").status == 200)
        }

        @Test("a leaky bucket holds requests without denying them")
        func delays() async throws {
            let api = try await SampleAPI(folder)
            let weir = try await Weir(
                folder, upstream: api.port,
                "limits: [{name: steady, algorithm: leaky-bucket, rate: 10/second, max_wait: 10s, match: {path: /health}}]"
            )
            let connections = try (0..<5).map { _ in try Connection(weir.port) }
            for connection in connections {
                try connection.send("GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            }
            for connection in connections { #expect(try RawResponse(connection.readToEnd()).status == 200) }
        }

        @Test("tokens are charged from the response")
        func responseCost() async throws {
            let api = try await SampleAPI(folder)
            let weir = try await Weir(
                folder, upstream: api.port,
                """
                limits:
                  - name: tokens
                    match: {path: "/usage/*"}
                    rate: 1000/hour
                    algorithm: fixed-window
                    align: first-request
                    cost: {response: {json: /usage/total_tokens}, reserve: 10}
                """)
            #expect(try weir.get("/usage/700").status == 200)
            #expect(try weir.get("/usage/500", headers: ["Accept-Encoding": "gzip"]).status == 200)
            #expect(try weir.get("/usage/1").status == 429)
        }

        @Test("SIGHUP and a change of the file reload the policy; a bad file keeps the old one; counters survive")
        func reload() async throws {
            let api = try await SampleAPI(folder)
            let limit = "limits: [{name: a, rate: %/day, algorithm: fixed-window, align: first-request}]"
            let weir = try await Weir(folder, upstream: api.port, limit.replacingOccurrences(of: "%", with: "3"))
            let program = weir.program
            for _ in 0..<2 { #expect(try weir.get("/health").status == 200) }
            try weir.rewrite("limits: [{name: a, rate: nonsense}]")
            program.signal(SIGHUP)
            try await until("the bad file is reported") { program.log.contains("stays in force") }
            #expect(program.log.contains("weir.yaml:4:"))
            #expect(try weir.get("/health")["X-RateLimit-Remaining"] == "0")
            #expect(try weir.get("/health").status == 429)
            try weir.rewrite(limit.replacingOccurrences(of: "%", with: "5"))
            try await until("the change is seen") { program.log.contains("policy reloaded") }
            #expect(try weir.get("/health")["X-RateLimit-Remaining"] == "1", "three were spent before")
            try weir.rewrite(limit.replacingOccurrences(of: "%", with: "5").replacingOccurrences(of: "a,", with: "b,"))
            try await until("the renamed limit is reported") { program.log.contains("the limit 'b' is new") }
        }

        @Test("SIGTERM answers what is under way, and ends with 0")
        func drain() async throws {
            let api = try await SampleAPI(folder)
            let weir = try await Weir(folder, upstream: api.port, "limits: [{name: a, rate: 1000/minute}]")
            let idle = try Connection(weir.port)
            try idle.send("GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            _ = try idle.read(until: "ok")
            let busy = try Connection(weir.port)
            try busy.send("GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            _ = try busy.read(until: "data: first\n\n")
            weir.program.signal(SIGTERM)
            #expect(try idle.readToEnd().isEmpty, "idle connections are closed")
            try await until("nothing is accepted any more") { (try? Connection(weir.port)) == nil }
            let direct = try Connection(api.port)
            try direct.send("GET /release HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            _ = try direct.readToEnd()
            #expect(try busy.readToEnd().contains("data: second\n\n"))
            #expect(try await weir.program.wait() == 0)
        }

        @Test("an unreachable upstream is 502, a slow one 504")
        func badUpstreams() async throws {
            let gone = try await Weir(folder, upstream: try freePort(), "limits: [{name: a, rate: 1000/minute}]")
            let unreachable = try gone.get("/")
            #expect(unreachable.status == 502)
            #expect(unreachable["Content-Type"] == "application/problem+json")
            #expect(unreachable["RateLimit"] != nil, "it was limited all the same")
            let other = try Folder()
            let api = try await SampleAPI(other)
            let slow = try await Weir(
                other, upstream: api.port, "gateway: {response_timeout: 500ms}\nlimits: [{name: a, rate: 9/minute}]")
            #expect(try slow.get("/hold").status == 504)
        }

        @Test("nginx as upstream: connections are kept, HEAD, 204, 304 and large answers pass")
        func nginx() async throws {
            let port = try freePort()
            let large = String(repeating: "0123456789abcdef", count: 65_536)
            _ = try folder.write(large, "large.txt")
            let configuration = try folder.write(
                """
                daemon off; master_process off; pid \(folder.url.path)/nginx.pid; error_log stderr;
                events {}
                http {
                    access_log off; client_body_temp_path \(folder.url.path); proxy_temp_path \(folder.url.path);
                    fastcgi_temp_path \(folder.url.path); uwsgi_temp_path \(folder.url.path); scgi_temp_path \(folder.url.path);
                    server {
                        listen 127.0.0.1:\(port);
                        root \(folder.url.path);
                        location /connection { return 200 "$connection"; }
                        location /none { return 204; }
                    }
                }
                """, "nginx.conf")
            let nginx = try Program("/usr/sbin/nginx", ["-p", folder.url.path, "-c", configuration], in: folder)
            try await until("nginx listens: \(nginx.log)") { (try? Connection(port)) != nil }
            let weir = try await Weir(folder, upstream: port, "threads: 1\nlimits: [{name: a, rate: 1000/minute}]")
            let first = try weir.get("/connection").body
            #expect(try weir.get("/connection").body == first, "the connection to the upstream is kept")
            let connection = try Connection(weir.port)
            for _ in 0..<3 {
                try connection.send("HEAD /large.txt HTTP/1.1\r\nHost: localhost\r\n\r\n")
                #expect(try connection.read(until: "\r\n\r\n").contains("Content-Length: \(large.utf8.count)"))
                try connection.send("GET /none HTTP/1.1\r\nHost: localhost\r\n\r\n")
                #expect(try connection.read(until: "\r\n\r\n").hasPrefix("HTTP/1.1 204"))
            }
            let whole = try weir.get("/large.txt")
            #expect(whole.body == large)
            let tag = try #require(whole["ETag"])
            #expect(try weir.get("/large.txt", headers: ["If-None-Match": tag]).status == 304)
        }

        @Test("the admin port answers health, readiness and metrics, but no page of another origin")
        func admin() async throws {
            let weir = try await Weir(folder, upstream: try freePort(), "limits: [{name: a, rate: 1000/minute}]")
            func ask(_ path: String, _ headers: String) throws -> Int {
                let connection = try Connection(weir.admin)
                try connection.send("GET \(path) HTTP/1.1\r\n\(headers)Connection: close\r\n\r\n")
                return try RawResponse(connection.readToEnd()).status
            }
            #expect(try ask("/health", "Host: 127.0.0.1:\(weir.admin)\r\n") == 200)
            #expect(try ask("/ready", "Host: localhost\r\n") == 200)
            #expect(try ask("/metrics", "Host: rebound.example\r\n") == 403)
            #expect(try ask("/metrics", "Host: localhost\r\nOrigin: https://evil.example\r\n") == 403)
            let metrics = try weir.metrics()
            for name in [
                "weir_limit_requests_total", "weir_decision_seconds_bucket", "weir_store_keys",
                "weir_store_keys_dropped_total",
            ] {
                #expect(metrics.contains("# TYPE \(name.replacingOccurrences(of: "_bucket", with: ""))"), "\(name)")
            }
        }

        @Test("settings from the environment override the policy, and wrong ones are one clear line")
        func environment() async throws {
            let port = try freePort()
            let policy = try folder.write(
                "listen: 127.0.0.1:1\nadmin: off\nlimits: [{name: a, rate: 1/minute}]", "weir.yaml")
            _ = try folder.write("WEIR_UPSTREAM='http://127.0.0.1:9'\n# a comment\nWEIR_THREADS=1\n", ".env")
            let program = try Program(
                Weir.binary, ["serve", "--config", policy], in: folder,
                environment: ["WEIR_LISTEN": "127.0.0.1:\(port)"])
            try await until("it listens") { (try? Connection(port)) != nil }
            let taken = try Program(
                Weir.binary, ["serve", "--config", policy], in: folder,
                environment: ["WEIR_LISTEN": "127.0.0.1:\(port)"])
            #expect(try await taken.wait() == 1)
            #expect(taken.log.contains("can't listen on 127.0.0.1:\(port)"))
            let wrong = try Program(
                Weir.binary, ["serve", "--config", policy], in: folder, environment: ["WEIR_THREADS": "many"])
            #expect(try await wrong.wait() == 1)
            #expect(wrong.log.contains("WEIR_THREADS must be"))
            _ = program
        }
    }
}
