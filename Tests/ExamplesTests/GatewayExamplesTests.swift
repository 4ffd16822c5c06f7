import Foundation
import TestSupport
import Testing

extension ExamplesTests {
    /// The same policies before a FastAPI app, started by the one command that README.md names.
    @Suite("Before a FastAPI app", .serialized)
    struct GatewayTests {
        static let isSlow = ProcessInfo.processInfo.environment["WEIR_SLOW"] != nil
        static let json = ["Content-Type": "application/json"]

        struct Case: Sendable, CustomStringConvertible {
            var number: Int
            var path: String
            var headers: [String: String] = [:]
            var requests = 12
            /// How many of them pass.
            var passes: Int
            /// The status of those that pass.
            var passing = 200
            var refused = 429
            /// Whether they come at once.
            var areTogether = false

            var description: String { "\(number) \(path)" }
        }

        static let cases = [
            Case(number: 1, path: "/batch-predict", passes: 2),
            Case(number: 2, path: "/predict", headers: ["X-User": "alice"], requests: 23, passes: 20),
            Case(number: 3, path: "/predict", headers: ["X-API-Key": "alice-key"], passes: 10),
            Case(number: 4, path: "/predict", passes: 10),
            Case(number: 5, path: "/predict", headers: ["X-API-Key": "made-up"], passes: 2),
            Case(number: 6, path: "//premium/predict", headers: ["X-API-Key": "bob-key"], passes: 0, refused: 403),
            Case(number: 7, path: "/models/heavy", passes: 5),
            Case(number: 8, path: "/predict", passes: 2),
            Case(number: 9, path: "/predict", requests: 40, passes: 11, areTogether: true),
            Case(number: 10, path: "/predict?/health", passes: 3),
            Case(number: 11, path: "/predict", passes: 5),
            Case(number: 12, path: "/v1/chat/completions", passes: 2),
            // Three answers of 1,600 tokens: the third goes into debt.
            Case(
                number: 13, path: "/v1/chat/completions", headers: ["Authorization": "Bearer bob-key"], requests: 5,
                passes: 3),
            Case(number: 14, path: "/login", requests: 8, passes: 5, passing: 401),
            Case(number: 15, path: "/predict", passes: 10),
        ]

        @Test(
            "each pattern holds",
            arguments: isSlow ? cases : cases.filter { [1, 7, 12, 13, 14, 15].contains($0.number) })
        func holds(_ rule: Case) async throws {
            let folder = try Folder()
            let redis = (2...5).contains(rule.number) ? try await RedisServer(folder) : nil
            let port = try freePort()
            let upstream = try freePort()
            let venv =
                ProcessInfo.processInfo.environment["WEIR_VENV"] ?? packageFolder.appending(path: ".build/venv").path
            let program = try Program(
                packageFolder.appending(path: "Examples/Gateway/run").path, ["\(rule.number)"], in: folder,
                environment: [
                    "PORT": "\(port)", "UPSTREAM_PORT": "\(upstream)", "WEIR_VENV": venv,
                    "WEIR": packageFolder.appending(path: ".build/debug/weir").path,
                    "REDIS_URL": redis?.url ?? "redis://127.0.0.1:1",
                ])
            try await until("both answer: \(program.log)") {
                (try? exchange(upstream, "GET", "/health").status) == 200 && program.log.contains("listening on")
            }
            let body =
                switch rule.path {
                case "/v1/chat/completions": "{\"prompt\": \"one two three four\", \"model\": \"large\"}"
                case "/login": "{\"username\": \"alice\", \"password\": \"wrong\"}"
                default: "{\"inputs\": [\"a\", \"bb\"]}"
                }
            // A window is the clock's minute: not over the end of one.
            try await until("a minute has long to go", for: 15) { Int(Date().timeIntervalSince1970) % 60 < 50 }
            @Sendable func ask() async throws -> Int {
                try await exchangeApart(
                    port, "POST", rule.path, headers: Self.json.merging(rule.headers) { $1 }, body: body
                ).status
            }
            var statuses: [Int: Int] = [:]
            if rule.areTogether {
                try await withThrowingTaskGroup(of: Int.self) { group in
                    for _ in 0..<rule.requests { group.addTask { try await ask() } }
                    for try await status in group { statuses[status, default: 0] += 1 }
                }
            } else {
                for _ in 0..<rule.requests { statuses[try await ask(), default: 0] += 1 }
            }
            // A bucket gains a token now and then meanwhile, and a queue a place every 100 ms.
            let most = rule.areTogether ? 2 * rule.passes : rule.passes + 1
            #expect((rule.passes...most).contains(statuses[rule.passing] ?? 0), "\(statuses) \(program.log)")
            #expect((statuses[rule.passing] ?? 0) + (statuses[rule.refused] ?? 0) == rule.requests, "\(statuses)")
            if rule.number == 14 { try await checkLogins(port) }
            if rule.number == 15 { try await checkBehindNginx(port, folder) }
            program.signal(SIGKILL)
            try await until("the app has ended with its gateway") {
                (try? exchange(upstream, "GET", "/health")) == nil
            }
        }

        /// Other names at the same address have attempts of their own, and sixty at once don't get through.
        private func checkLogins(_ port: Int) async throws {
            let statuses = try await withThrowingTaskGroup(of: Int.self) { group in
                for _ in 0..<40 {
                    group.addTask {
                        try await exchangeApart(
                            port, "POST", "/login", headers: Self.json,
                            body: "{\"username\": \"bob\", \"password\": \"wrong\"}"
                        ).status
                    }
                }
                return try await group.reduce(into: [:]) { $0[$1, default: 0] += 1 } as [Int: Int]
            }
            #expect(statuses == [401: 5, 429: 35], "at once")
        }

        /// Each address that nginx names has a budget; the ones that a client writes itself have none.
        private func checkBehindNginx(_ port: Int, _ folder: Folder) async throws {
            let listen = try freePort()
            var configuration = try String(
                contentsOf: packageFolder.appending(path: "Examples/Gateway/nginx.conf"), encoding: .utf8)
            configuration = configuration.replacing("127.0.0.1:8080", with: "127.0.0.1:\(port)")
                .replacing("127.0.0.1:8081", with: "127.0.0.1:\(listen)")
            let temp = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map {
                "\($0)_temp_path \(folder.url.path)/\($0);"
            }
            configuration = configuration.replacing(
                "http {", with: "http { access_log off; \(temp.joined(separator: " "))")
            let file = try folder.write(
                "daemon off; master_process off; pid \(folder.url.path)/nginx.pid; error_log stderr;\n" + configuration,
                "nginx.conf")
            let nginx = try Program("/usr/sbin/nginx", ["-p", folder.url.path, "-c", file], in: folder)
            try await until("nginx listens: \(nginx.log)") { (try? Connection(listen)) != nil }
            // Directly, 127.0.0.1 has spent its budget; and it may name other clients, as nginx may.
            func ask(_ port: Int, _ address: String) async throws -> Int {
                try await exchangeApart(
                    port, "POST", "/predict", headers: Self.json.merging(["X-Forwarded-For": address]) { $1 },
                    body: "{\"inputs\": []}"
                ).status
            }
            #expect(try await ask(port, "192.0.2.7") == 200)
            #expect(try await ask(listen, "192.0.2.8") == 429, "nginx replaces what a client made up")
            nginx.signal(SIGKILL)
        }
    }
}
