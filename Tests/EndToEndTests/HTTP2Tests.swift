import Foundation
import TestSupport
import Testing

extension EndToEnd {
    @Suite("HTTP/2 and TLS", .serialized)
    struct HTTP2Tests {
        let folder: Folder

        init() throws { folder = try Folder() }

        private static let policy = """
            limits:
              - {name: once, match: {path: /once}, rate: 1/hour}
              - {name: charged, match: {path: /charged}, rate: 1000000/hour}
              - {name: flight, match: {path: /hold}, algorithm: concurrency, limit: 1}

            """

        /// Calls a URL path with curl.
        private func curl(_ arguments: [String]) async throws -> String {
            try await run(["/usr/bin/curl", "-s", "-m", "20"] + arguments, in: folder)
        }

        // MARK: What is malformed, and floods

        private enum Outcome: Equatable {
            /// An answer on the stream; the connection goes on.
            case status(Int)
            /// The stream is reset with a code (RFC 9113, 7); the connection goes on.
            case reset(Int)
            /// The connection is closed, and the client is told why.
            case closed(Int)

            init?(_ report: [String: Any]?) {
                guard let report else { return nil }
                if let code = report["goaway"] as? Int, report["closed"] as? Bool == true {
                    self = .closed(code)
                } else if let code = report["reset"] as? Int {
                    self = .reset(code)
                } else if let status = report["status"] as? Int {
                    self = .status(status)
                } else {
                    return nil
                }
            }
        }

        private static let protocolError = 1, flowControlError = 3, frameSizeError = 6, refusedStream = 7
        private static let compressionError = 9, enhanceYourCalm = 11

        private static let malformed: [(String, Outcome)] = [
            ("an upper-case name", .reset(protocolError)),
            ("an empty name", .closed(compressionError)),
            ("a blank in a name", .reset(protocolError)),
            ("connection", .reset(protocolError)),
            ("transfer-encoding", .reset(protocolError)),
            ("upgrade", .reset(protocolError)),
            ("te", .reset(protocolError)),
            ("two paths", .reset(protocolError)),
            ("a late pseudo-header", .reset(protocolError)),
            ("an unknown pseudo-header", .reset(protocolError)),
            ("no path", .reset(protocolError)),
            ("CR and LF in the path", .reset(protocolError)),
            ("NUL in the path", .reset(protocolError)),
            ("CR and LF in the authority", .reset(protocolError)),
            ("CR and LF in the method", .reset(protocolError)),
            ("CR and LF in a value", .reset(protocolError)),
            ("NUL in a value", .reset(protocolError)),
            ("a blank in the path", .reset(protocolError)),
            ("a Host that contradicts", .status(400)),
            ("GET with a body", .status(400)),
            ("GET with a length", .status(400)),
            ("a body shorter than its length", .reset(protocolError)),
            ("a body longer than its length", .reset(protocolError)),
            ("a length without a body", .reset(protocolError)),
            ("CONNECT", .status(405)),
            ("a header too large", .status(431)),
            ("too many fields", .status(431)),
            ("too many streams", .reset(refusedStream)),
            ("DATA without a stream", .closed(protocolError)),
            ("a frame too large", .closed(frameSizeError)),
            ("a window that overflows", .closed(flowControlError)),
            ("a header bomb", .closed(compressionError)),
            ("noise", .closed(frameSizeError)),
        ]

        private static let floods = [
            "rapid reset", "PING", "SETTINGS", "PRIORITY", "empty DATA", "CONTINUATION", "WINDOW_UPDATE",
            "windows of a byte",
        ]

        @Test("what is malformed is refused, ends no other connection, and never reaches the upstream")
        func refused() async throws {
            let api = try await SampleAPI(folder)
            let weir = try await Weir(
                folder, upstream: api.port, "gateway: {max_concurrent_streams: 50}\n" + Self.policy)
            let reports = try await http2(
                weir.port, in: folder, Self.malformed.map(\.0) + ["a preface after a request"])
            for (name, expected) in Self.malformed { #expect(Outcome(reports[name]) == expected, "\(name)") }
            #expect(reports["a preface after a request"]?["statuses"] as? [Int] == [200])
            #expect(try weir.get("/health").status == 200)
            #expect(try weir.metrics().contains("weir_http2_errors_total{scope=\"stream\"}"))
        }

        @Test("a flood ends its connection, each of its requests is charged, and others don't notice")
        func flooded() async throws {
            let api = try await SampleAPI(folder)
            let weir = try await Weir(folder, upstream: api.port, Self.policy)
            let reports = try await http2(weir.port, in: folder, Self.floods)
            for name in Self.floods {
                #expect(Outcome(reports[name]) == .closed(Self.enhanceYourCalm), "\(name)")
            }
            let metrics = try weir.metrics()
            #expect(metrics.contains("weir_limit_requests_total{limit=\"charged\",outcome=\"allowed\"} 201"))
            #expect(metrics.contains("weir_http2_errors_total{scope=\"connection\"} \(Self.floods.count)"))
            #expect(metrics.contains("weir_http2_streams 0"))
            #expect(try weir.get("/health").status == 200)
        }

        // MARK: What a good client sees

        @Test("streams are exchanges: bodies, windows, trailers, 100, early answers, resets, HEAD, 204 and 304")
        func exchanges() async throws {
            let api = try await SampleAPI(folder)
            let weir = try await Weir(folder, upstream: api.port, Self.policy)
            let cases = [
                "interleaved", "small windows", "trailers", "padded", "expects", "denied upload", "broken off",
                "bodiless", "cancelled", "discarded", "unindexed", "a rejected HEAD",
            ]
            let reports = try await http2(weir.port, in: folder, cases)
            func expect(_ name: String, _ expected: [String: Any]) {
                let found = (reports[name] ?? [:]).filter { $0.key != "case" }
                #expect(found as NSDictionary == expected as NSDictionary, "\(name)")
            }
            expect("interleaved", ["right": 100, "statuses": [200]])
            expect("small windows", ["status": 200, "length": 300_000])
            expect("trailers", ["status": 200, "length": 3, "leaked": false])
            expect("padded", ["length": 9000])
            expect("expects", ["interim": [100], "length": 5])
            expect("denied upload", ["first": 404, "second": 429, "early": 429, "reset": 0, "next": 200])
            expect("broken off", ["broken": 2, "other": 200])
            expect("bodiless", ["statuses": [405, 204, 304], "bodies": [0, 0, 0]])
            expect("cancelled", ["second": 429, "after": 200])
            expect("discarded", ["status": 200])
            expect("unindexed", ["status": 200, "entries": 0])
            expect("a rejected HEAD", ["status": 400, "reset": NSNull()])
            #expect(try weir.metrics().contains("weir_http2_errors_total{scope=\"stream\"} 0"), "Weir broke no rule")
        }

        @Test("a client that reads nothing is cut off, and its requests are freed")
        func neverReads() async throws {
            let api = try await SampleAPI(folder)
            let weir = try await Weir(folder, upstream: api.port, "gateway: {response_timeout: 1s}\n" + Self.policy)
            let client = try Program(
                HTTP2Script.python, [HTTP2Script.path, "\(weir.port)", "never reads"], in: folder,
                environment: ["PYTHONDONTWRITEBYTECODE": "1"])
            try await until("it has asked") { client.log.contains("sent") }
            try await until("its streams are served") { try !weir.metrics().contains("weir_http2_streams 0") }
            try await until("it is cut off") {
                let metrics = try weir.metrics()
                return metrics.contains("weir_http2_streams 0") && metrics.contains("weir_connections 0")
            }
            #expect(try weir.get("/health").status == 200)
        }

        @Test("SIGTERM announces the end, answers what is under way, and ends with 0")
        func drained() async throws {
            let api = try await SampleAPI(folder)
            let weir = try await Weir(folder, upstream: api.port, Self.policy)
            let client = try Program(
                HTTP2Script.python, [HTTP2Script.path, "\(weir.port)", "drained"], in: folder,
                environment: ["PYTHONDONTWRITEBYTECODE": "1"])
            try await until("the request is under way") { client.log.contains("held") }
            weir.program.signal(SIGTERM)
            try await until("the client knows") { client.log.contains("announced") }
            #expect(try exchange(api.port, "GET", "/release").status == 200)
            #expect(try await client.wait() == 0, "\(client.log)")
            #expect(
                client.log.contains(
                    #""body": "data: first\n\ndata: second\n\n", "goaways": [0, 0], "closed": true, "late": 200, "too late": 7"#
                ))
            #expect(try await weir.program.wait() == 0)
        }

        @Test("h2load's 2,000 requests on 100 streams are all answered, by the limit")
        func manyStreams() async throws {
            let api = try await SampleAPI(folder)
            let weir = try await Weir(
                folder, upstream: api.port, "limits: [{name: a, match: {path: /health}, rate: 100/hour}]")
            let output = try await run(
                [
                    "/usr/bin/h2load", "-n", "2000", "-c", "2", "-m", "100", "--no-tls-proto=h2c",
                    "http://127.0.0.1:\(weir.port)/health",
                ], in: folder)
            #expect(output.contains("status codes: 100 2xx, 0 3xx, 1900 4xx, 0 5xx"), "\(output)")
            #expect(output.contains("2000 done, 100 succeeded, 1900 failed, 0 errored, 0 timeout"), "\(output)")
        }

        // MARK: TLS

        @Test("TLS serves both protocols, tells the upstream the truth, and refuses what is old")
        func tls() async throws {
            let api = try await SampleAPI(folder)
            let certificate = try await TestCertificate(folder, "server", names: ["localhost"])
            let plain = try freePort()
            let weir = try await Weir(
                folder, upstream: api.port, "tls: \(certificate.policy)\nlimits: [{name: a, rate: 1000/hour}]",
                alsoListen: ["http://127.0.0.1:\(plain)"])
            let url = "https://localhost:\(weir.port)/echo/x"
            for (option, version) in [("--http2", "2"), ("--http1.1", "1.1")] {
                let answer = try await curl([
                    "--cacert", certificate.certificate, option, "-w", "\n%{http_version}", url,
                ])
                #expect(answer.contains("[\"x-forwarded-proto\",\"https\"]"), "\(answer)")
                #expect(answer.hasSuffix("\n\(version)"), "\(answer)")
            }
            let cleartext = try await curl(["http://127.0.0.1:\(plain)/echo/x"])
            #expect(cleartext.contains("[\"x-forwarded-proto\",\"http\"]"))
            let known = try await curl([
                "--http2-prior-knowledge", "-w", "\n%{http_version}", "http://127.0.0.1:\(plain)/echo/x",
            ])
            #expect(known.hasSuffix("\n2"))
            let upgrade = try await curl(["--http2", "-w", "\n%{http_version}", "http://127.0.0.1:\(plain)/echo/x"])
            #expect(upgrade.hasSuffix("\n1.1"), "Upgrade: h2c is ignored")
            for (option, isServed) in [("-tls1_3", true), ("-tls1_2", true), ("-tls1_1", false)] {
                let shake = try Program(
                    "/bin/bash",
                    [
                        "-c",
                        "openssl s_client -connect 127.0.0.1:\(weir.port) \(option) -cipher 'ALL:@SECLEVEL=0' </dev/null",
                    ], in: folder)
                _ = try await shake.wait()
                #expect(shake.log.contains("BEGIN CERTIFICATE") == isServed, "\(option): \(shake.log)")
            }
            #expect(try !plainText(weir.port).hasPrefix("HTTP/"))
            let metrics = try weir.metrics()
            #expect(metrics.contains("weir_tls_certificate_expiry_timestamp_seconds{name=\"localhost\"} "))
            #expect(!metrics.contains("weir_tls_handshake_failures_total 0\n"))
        }

        /// What a client that speaks no TLS is told: nothing.
        private func plainText(_ port: Int) throws -> String {
            let connection = try Connection(port)
            try connection.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            return (try? connection.readToEnd()) ?? ""
        }

        @Test("the client's server name chooses the certificate, and new files are used without a failed handshake")
        func reloaded() async throws {
            let api = try await SampleAPI(folder)
            let first = try await TestCertificate(folder, "first", names: ["first.example"])
            let second = try await TestCertificate(folder, "second", names: ["second.example"])
            let weir = try await Weir(
                folder, upstream: api.port,
                "tls: [\(first.policy), \(second.policy)]\nlimits: [{name: a, rate: 100000/second}]")
            func fingerprint(_ name: String) async throws -> String {
                try await run(
                    [
                        "/bin/bash", "-c",
                        "openssl s_client -connect 127.0.0.1:\(weir.port) -servername \(name) </dev/null 2>/dev/null"
                            + " | openssl x509 -noout -fingerprint -sha256",
                    ], in: folder)
            }
            func fingerprint(of certificate: TestCertificate) async throws -> String {
                try await run(
                    ["/usr/bin/openssl", "x509", "-in", certificate.certificate, "-noout", "-fingerprint", "-sha256"],
                    in: folder)
            }
            #expect(try await fingerprint("first.example") == fingerprint(of: first))
            #expect(try await fingerprint("second.example") == fingerprint(of: second))
            #expect(try await fingerprint("third.example") == fingerprint(of: first))

            // Connections are opened all the time while the files change.
            let load = try Program(
                "/usr/bin/h2load",
                ["-D", "4", "-c", "4", "-m", "4", "https://127.0.0.1:\(weir.port)/health", "--header=connection-x: a"],
                in: folder)
            let shakes = try Program(
                "/bin/bash",
                [
                    "-c",
                    "for i in $(seq 60); do curl -sk -o /dev/null -w '%{http_code}\\n' https://127.0.0.1:\(weir.port)/health; done",
                ], in: folder)
            let renewed = try await TestCertificate(folder, "renewed", names: ["second.example"])
            let program = weir.program
            // The key arrives after its certificate; meanwhile the old pair stays in use.
            try FileManager.default.removeItem(atPath: second.certificate)
            try FileManager.default.copyItem(atPath: renewed.certificate, toPath: second.certificate)
            try await until("the mismatch is logged") { program.log.contains("does not belong to the certificate") }
            #expect(program.log.contains("weir.yaml:"))
            try FileManager.default.removeItem(atPath: second.key)
            try FileManager.default.copyItem(atPath: renewed.key, toPath: second.key)
            try await until("the new certificate is used") {
                try await fingerprint("second.example") == fingerprint(of: renewed)
            }
            #expect(try await fingerprint("first.example") == fingerprint(of: first))
            #expect(try await shakes.wait() == 0)
            #expect(Set(shakes.log.split(separator: "\n")) == ["200"])
            #expect(try await load.wait() == 0)
            #expect(load.log.contains(" 0 failed, 0 errored, 0 timeout"), "\(load.log)")
        }

        @Test("a link to a certificate may be changed instead of the file")
        func linked() async throws {
            let api = try await SampleAPI(folder)
            let old = try await TestCertificate(folder, "old", names: ["a.example"])
            let new = try await TestCertificate(folder, "new", names: ["b.example"])
            func path(_ name: String) -> String { folder.url.appending(path: name).path }
            func link(_ certificate: TestCertificate) throws {
                for (file, name) in [(certificate.certificate, "c.pem"), (certificate.key, "k.pem")] {
                    try? FileManager.default.removeItem(atPath: path(name))
                    try FileManager.default.createSymbolicLink(atPath: path(name), withDestinationPath: file)
                }
            }
            try link(old)
            let weir = try await Weir(
                folder, upstream: api.port, "tls: {certificate: c.pem, key: k.pem}\nlimits: [{name: a, rate: 9/second}]"
            )
            try link(new)
            try await until("the new certificate is used") {
                try weir.metrics().contains("weir_tls_certificate_expiry_timestamp_seconds{name=\"b.example\"}")
            }
        }

        @Test("a certificate's faults are clear words at the start and from validate")
        func faulty() async throws {
            let good = try await TestCertificate(folder, "good", names: ["a.example"])
            let other = try await TestCertificate(folder, "other", names: ["a.example"])
            let expired = try await TestCertificate(
                folder, "expired", names: ["a.example"], days: 1, start: "2020-01-01 00:00:00")
            let limits = "\nlimits: [{name: a, rate: 1/second}]\n"
            func outcome(_ command: String, _ tls: String) async throws -> (code: Int32, text: String) {
                let file = try folder.write("upstream: http://127.0.0.1:1\ntls: \(tls)\(limits)", "weir.yaml")
                let arguments = command == "serve" ? ["serve", "--config", file] : ["validate", file]
                let program = try Program(Weir.binary, arguments, in: folder)
                return (try await program.wait(), program.log)
            }
            let mismatched = "{certificate: \(good.certificate), key: \(other.key)}"
            for command in ["serve", "validate"] {
                let (code, text) = try await outcome(command, mismatched)
                #expect(code == 2)
                #expect(text.contains("weir.yaml:2:6: error: the key '\(other.key)' does not belong to"), "\(text)")
            }
            let (code, text) = try await outcome("validate", expired.policy)
            #expect(code == 0)
            #expect(
                text.contains("weir.yaml:2:6: warning: the certificate '\(expired.certificate)' expired on 2020-01-02"))
        }

        // MARK: Unix sockets

        @Test("nginx in front, through a Unix socket, is a trusted proxy if the policy says so")
        func unixSocket() async throws {
            let api = try await SampleAPI(folder)
            let path = folder.url.appending(path: "weir.sock").path
            let weir = try await Weir(
                folder, upstream: api.port, "trusted_proxies: [unix]\nlimits: [{name: a, rate: 1/hour}]",
                alsoListen: ["unix:\(path)"])
            func status(_ address: String) async throws -> String {
                try await curl([
                    "--unix-socket", path, "-H", "X-Forwarded-For: \(address)", "-o", "/dev/null", "-w", "%{http_code}",
                    "http://a/echo/x",
                ])
            }
            #expect(try await status("192.0.2.1") == "200")
            #expect(try await status("192.0.2.1") == "429")
            #expect(try await status("192.0.2.2") == "200")
            let seen = try await curl(["--unix-socket", path, "-H", "X-Forwarded-For: 192.0.2.3", "http://a/echo/x"])
            #expect(seen.contains("[\"x-forwarded-for\",\"192.0.2.3\"]"), "\(seen)")
            weir.program.signal(SIGTERM)
            #expect(try await weir.program.wait() == 0)
            #expect(!FileManager.default.fileExists(atPath: path))
        }
    }
}
