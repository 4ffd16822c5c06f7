import Foundation
import TestSupport
import Testing

extension EndToEnd {
    @Suite("Answers of an upstream", .serialized)
    struct UpstreamTests {
        let folder: Folder

        init() throws { folder = try Folder() }

        /// The upstream of `raw.py`, and a gateway in front of it.
        private func start(_ policy: String = "") async throws -> (upstream: Program, weir: Weir) {
            let port = try freePort()
            let script = packageFolder.appending(path: "Tests/EndToEndTests/Upstreams/raw.py").path
            let upstream = try Program(
                "/usr/bin/python3", [script, "\(port)"], in: folder, environment: ["PYTHONDONTWRITEBYTECODE": "1"])
            try await until("the upstream listens") { (try? Connection(port)) != nil }
            let limits = "limits: [{name: a, rate: 100000/minute}, {name: b, match: {path: /denied}, rate: 1/day}]"
            return (upstream, try await Weir(folder, upstream: port, policy + "\n" + limits))
        }

        /// The bytes of all answers to one request.
        private func answers(_ weir: Weir, _ path: String, version: String = "1.1") throws -> String {
            let connection = try Connection(weir.port)
            try connection.send("GET \(path) HTTP/\(version)\r\nHost: a\r\nConnection: close\r\n\r\n")
            return try connection.readToEnd()
        }

        @Test("interim answers reach a client that knows them, and never the connection's own fields")
        func interim() async throws {
            let (upstream, weir) = try await start()
            let text = try answers(weir, "/early-hints")
            let heads = text.components(separatedBy: "HTTP/1.1 ").dropFirst().map { $0.prefix(3) }
            #expect(heads == ["103", "103", "200"])
            #expect(text.contains("Link: </a.css>; rel=preload"))
            #expect(!text.lowercased().contains("x-hop"))
            #expect(try answers(weir, "/early-hints", version: "1.0").hasPrefix("HTTP/1.1 200"))
            #expect(try answers(weir, "/continue").hasPrefix("HTTP/1.1 200"))
            let http2 = try await run(
                [
                    "/usr/bin/curl", "-si", "--http2-prior-knowledge", "-m", "10",
                    "http://127.0.0.1:\(weir.port)/early-hints",
                ], in: folder)
            #expect(http2.components(separatedBy: "HTTP/2 103").count == 3, "\(http2)")
            #expect(http2.contains("HTTP/2 200"))
            _ = upstream
        }

        @Test("interim answers are a sign of life, but not without end")
        func interimBounds() async throws {
            let (upstream, weir) = try await start("gateway: {response_timeout: 1s}")
            #expect(try answers(weir, "/slow-signs-of-life").contains("HTTP/1.1 200"))
            for path in ["/endless-hints", "/large-hints"] {
                let text = try answers(weir, path)
                #expect(text.contains("HTTP/1.1 502"), "\(path)")
                #expect(text.contains("too many interim answers"), "\(path)")
            }
            #expect(try answers(weir, "/switch").hasPrefix("HTTP/1.1 502"))
            _ = upstream
        }

        @Test("an answer that can't be passed on whole is 502, with the reason in the answer and the log")
        func unfit() async throws {
            let (upstream, weir) = try await start()
            for (path, reason) in [
                ("/gzip-chunked", "a transfer coding other than 'chunked'"),
                ("/two-codings", "a transfer coding other than 'chunked'"),
                ("/huge-field", "has a header of more than 1000 fields, or one that is too large"),
                ("/noise", "is not sound HTTP/1.1"), ("/closed", "closed the connection without an answer"),
            ] {
                let answer = try weir.get(path)
                #expect(answer.status == 502, "\(path)")
                #expect(answer.body.contains(reason), "\(path): \(answer.body)")
                let program = weir.program
                try await until("\(path) is logged") {
                    program.log.split(separator: "\n").contains {
                        $0.contains("\"logger\":\"weir.upstream\"") && $0.contains("\"path\":\"\(path)\"")
                            && $0.contains(reason.replacing("/", with: "\\/"))
                            || $0.contains(reason) && $0.contains(path)
                    }
                }
            }
            _ = upstream
        }

        @Test("many fields and large ones pass")
        func largeHeaders() async throws {
            let (upstream, weir) = try await start()
            let cookies = try weir.get("/cookies")
            #expect(cookies.status == 200)
            #expect(cookies.headers.count { $0.name == "set-cookie" } == 300)
            #expect(try weir.get("/large-field")["X-Large"]?.count == 90_000)
            _ = upstream
        }

        @Test("over HTTP/2, an answer that can't be written ends its own stream only")
        func unfitForHTTP2() async throws {
            let (upstream, weir) = try await start()
            let paths = ["/large-field", "/cookies", "/huge-length", "/blank-length"]
            let reports = try await http2(weir.port, in: folder, paths)
            #expect(paths.map { reports[$0]?["first"] as? Int } == [502, 200, nil, 200])
            #expect(reports["/huge-length"]?["reset"] as? Int == 2)
            for path in paths { #expect(reports[path]?["second"] as? Int == 200, "\(path)") }
            let answer = try await run(
                [
                    "/usr/bin/curl", "-s", "--http2-prior-knowledge", "-m", "10",
                    "http://127.0.0.1:\(weir.port)/large-field",
                ], in: folder)
            #expect(answer.contains("too large for HTTP/2"))
            _ = upstream
        }

        @Test("every answer has one Date: the upstream's, or Weir's where it has none")
        func dates() async throws {
            let (upstream, weir) = try await start()
            func dates(_ path: String) throws -> [String] {
                try weir.get(path).headers.filter { $0.name == "date" }.map(\.value)
            }
            #expect(try dates("/date") == ["Thu, 01 Jan 1970 00:00:00 GMT"])
            for path in ["/x", "/closed", "/denied", "/denied", "/%00"] {
                let found = try dates(path)
                #expect(found.count == 1, "\(path)")
                #expect(found.first?.contains("GMT") == true && found.first?.contains("1970") == false, "\(path)")
            }
            #expect(try weir.get("/204")["Content-Length"] == nil)
            _ = upstream
        }

        @Test("a target that is too long is 414, a header 431, an unknown method 501")
        func codes() async throws {
            let (upstream, weir) = try await start()
            let long = String(repeating: "a", count: 33_000)
            #expect(try answers(weir, "/" + long).hasPrefix("HTTP/1.1 414"))
            for (request, status) in [
                ("GET / HTTP/1.1\r\nHost: a\r\nCookie: \(long)\r\n\r\n", 431),
                ("BREW / HTTP/1.1\r\nHost: a\r\n\r\n", 501), ("get / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
                ("GET /a HTTP/1.1\r\nHost: a\r\n\r\nBREW / HTTP/1.1\r\nHost: a\r\n\r\n", 200),
            ] {
                let connection = try Connection(weir.port)
                try connection.send(request)
                let text = try connection.readToEnd()
                #expect(text.hasPrefix("HTTP/1.1 \(status)"), "\(request.prefix(20)): \(text.prefix(20))")
            }
            _ = upstream
        }

        @Test("an upstream's name is followed to a new address when its connections have reached their age")
        func connectionAge() async throws {
            let (upstream, weir) = try await start("gateway: {max_connection_age: 1ms}")
            #expect(try weir.get("/x").status == 200)
            // The pool's connections are counted by the upstream's side.
            let before = try connections(of: upstream)
            try await until("the connection is closed") { try connections(of: upstream) < max(1, before) }
            #expect(try weir.get("/x").status == 200)
        }

        @Test("what fails, or never reaches the upstream, costs nothing; an unknown cost is counted and logged")
        func failures() async throws {
            let api = try await SampleAPI(folder)
            let policy =
                "limits: [{name: t, rate: 1000/hour, algorithm: fixed-window, cost: {response: tokens, reserve: 100, default: 400}}]"
            let weir = try await Weir(folder, upstream: api.port, policy)
            /// The units left after the request's reserve.
            func remaining(_ path: String, _ status: Int) throws -> Int? {
                let answer = try weir.get(path)
                #expect(answer.status == status, "\(path)")
                return answer["X-RateLimit-Remaining"].flatMap { Int($0) }
            }
            for status in [422, 429, 500, 503] { #expect(try remaining("/status/\(status)", status) == 900) }
            #expect(try remaining("/usage/10", 200) == 900)
            #expect(try remaining("/health", 200) == 890)
            #expect(try remaining("/usage/0", 200) == 490, "the default")
            #expect(try weir.metrics().contains("weir_cost_unknown_total{limit=\"t\",reason=\"absent\"} 1"))
            let program = weir.program
            try await until("the unknown cost is logged") {
                program.log.contains("\"logger\":\"weir.costs\"") && program.log.contains("\"reason\":\"absent\"")
            }
            let away = try await Weir(try Folder(), upstream: try freePort(), policy)
            for _ in 0..<3 {
                let answer = try away.get("/x")
                #expect(answer.status == 502)
                #expect(answer["X-RateLimit-Remaining"] == "900")
            }
        }

        @Test("a page of a listed origin can read a denial, with credentials; other pages get none")
        func crossOrigin() async throws {
            let (upstream, weir) = try await start("cors: {origins: [https://app.example], credentials: true}")
            _ = upstream
            func denial(_ origin: String) throws -> RawResponse {
                _ = try weir.get("/denied")
                return try weir.get("/denied", headers: ["Origin": origin])
            }
            let listed = try denial("https://app.example")
            #expect(listed.status == 429)
            #expect(listed["Access-Control-Allow-Origin"] == "https://app.example")
            #expect(listed["Access-Control-Allow-Credentials"] == "true")
            #expect(listed["Access-Control-Expose-Headers"]?.lowercased().contains("retry-after") == true)
            #expect(listed["Vary"]?.lowercased().contains("origin") == true)
            let other = try denial("https://evil.example")
            #expect(other["Access-Control-Allow-Credentials"] == nil)
            #expect(other["Access-Control-Allow-Origin"] != "https://evil.example")
        }

        @Test("the admin port answers to the names that the policy lists, and to no others")
        func adminHosts() async throws {
            let weir = try await Weir(
                folder, upstream: try freePort(), "limits: [{name: a, rate: 1/s}]", adminHosts: ["weir.internal"])
            for (host, status) in [("weir.internal:\(weir.admin)", 200), ("weir.internal", 200), ("evil.example", 403)]
            {
                let connection = try Connection(weir.admin)
                try connection.send("GET /metrics HTTP/1.1\r\nHost: \(host)\r\nConnection: close\r\n\r\n")
                #expect(try connection.readToEnd().hasPrefix("HTTP/1.1 \(status)"), "\(host)")
            }
        }

        @Test("a request's cost that can't be read is counted and logged, with the reason")
        func unreadableRequests() async throws {
            let api = try await SampleAPI(folder)
            let weir = try await Weir(
                folder, upstream: api.port,
                "body_limit: 1kB\nlimits: [{name: t, rate: 1000/hour, cost: {json: /n, max: 5}}]")
            for (body, coding) in [
                ("{", "identity"), ("{}", "gzip"), (String(repeating: "x", count: 2000), "identity"),
            ] {
                let answer = try weir.request("POST", "/sink", headers: ["Content-Encoding": coding], body: body)
                #expect(answer.status < 500)
            }
            let metrics = try weir.metrics()
            #expect(metrics.contains("weir_cost_unknown_total{limit=\"t\",reason=\"request\"} 1"))
            #expect(metrics.contains("weir_cost_unknown_total{limit=\"t\",reason=\"request_body\"} 2"))
            let program = weir.program
            try await until("it is logged") { program.log.contains("the request's cost could not be read") }
        }

        @Test("a limit in shadow mode logs what it would have denied")
        func shadowLog() async throws {
            let (upstream, weir) = try await start()
            _ = upstream
            let shadow = try await Weir(
                try Folder(), upstream: weir.port, "limits: [{name: s, rate: 1/day, mode: shadow}]")
            for _ in 0..<3 { #expect(try shadow.get("/x").status == 200) }
            let program = shadow.program
            try await until("it is logged") {
                program.log.split(separator: "\n").count {
                    $0.contains("would have been denied (shadow)") && $0.contains("\"limits\":[\"s\"]")
                } == 2
            }
        }

        @Test("an upstream that can't be reached at the start is told of once")
        func unreachableAtStart() async throws {
            let weir = try await Weir(folder, upstream: try freePort(), "limits: [{name: a, rate: 1/s}]")
            let program = weir.program
            try await until("it is told") {
                program.log.components(separatedBy: "the upstream can't be reached; requests").count == 2
            }
        }

        @Test("a forwarded address that isn't believed is counted, and told once a minute")
        func ignoredAddress() async throws {
            let (upstream, weir) = try await start()
            for address in ["192.0.2.1", "192.0.2.2", "192.0.2.3"] {
                #expect(try weir.get("/x", headers: ["X-Forwarded-For": address]).status == 200)
            }
            #expect(try weir.metrics().contains("weir_forwarded_address_ignored_total 3"))
            let program = weir.program
            let words = "X-Forwarded-For from 127.0.0.1 was ignored: it is not in trusted_proxies"
            try await until("it is logged") { program.log.contains(words) }
            // A minute may have begun in between.
            #expect(program.log.components(separatedBy: words).count <= 3)
            _ = upstream
        }

        /// The sockets that a program has open, without the one it listens on.
        private func connections(of program: Program) throws -> Int {
            let files = "/proc/\(program.identifier)/fd"
            return try FileManager.default.contentsOfDirectory(atPath: files).count { name in
                let target = try? FileManager.default.destinationOfSymbolicLink(atPath: files + "/" + name)
                return target?.hasPrefix("socket:") == true
            } - 1
        }
    }
}
