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
            /// How many of 12 pass.
            var passes: Int
            var refused = 429

            var description: String { "\(number) \(path)" }
        }

        static let cases = [
            Case(number: 1, path: "/batch-predict", passes: 2),
            Case(number: 2, path: "/predict", headers: ["X-User": "alice"], passes: 12),
            Case(number: 3, path: "/predict", headers: ["X-API-Key": "alice-key"], passes: 10),
            Case(number: 4, path: "/predict", passes: 10),
            Case(number: 5, path: "/predict", headers: ["X-API-Key": "made-up"], passes: 2),
            Case(number: 6, path: "//premium/predict", headers: ["X-API-Key": "bob-key"], passes: 0, refused: 403),
            Case(number: 7, path: "/models/heavy", passes: 5),
            Case(number: 8, path: "/predict", passes: 2),
            Case(number: 9, path: "/predict", passes: 12),
            Case(number: 10, path: "/predict?/health", passes: 3),
            Case(number: 11, path: "/predict", passes: 5),
            Case(number: 12, path: "/v1/chat/completions", passes: 2),
        ]

        @Test("each pattern holds", arguments: isSlow ? cases : cases.filter { [1, 7, 12].contains($0.number) })
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
                rule.number == 12 ? "{\"prompt\": \"one two three four\"}" : "{\"inputs\": [\"a\", \"bb\"]}"
            var statuses: [Int: Int] = [:]
            for _ in 0..<12 {
                let answer = try exchange(
                    port, "POST", rule.path, headers: Self.json.merging(rule.headers) { $1 }, body: body)
                statuses[answer.status, default: 0] += 1
            }
            // A bucket gains a token now and then meanwhile.
            #expect((rule.passes...rule.passes + 1).contains(statuses[200] ?? 0), "\(statuses) \(program.log)")
            #expect((statuses[200] ?? 0) + (statuses[rule.refused] ?? 0) == 12, "\(statuses)")
            program.signal(SIGKILL)
            try await until("the app has ended with its gateway") {
                (try? exchange(upstream, "GET", "/health")) == nil
            }
        }
    }
}
