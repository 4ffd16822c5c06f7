import Foundation
import Testing

extension EndToEnd {
    @Suite("The command line", .serialized)
    struct CommandTests {
        let folder: Folder

        init() throws { folder = try Folder() }

        /// Runs a command. Returns its exit code and all that it wrote.
        func weir(_ arguments: String...) async throws -> (code: Int32, output: String) {
            let program = try Program(Weir.binary, arguments, in: folder)
            return (try await program.wait(), program.log)
        }

        @Test("init writes a policy that validate accepts and the JSON Schema knows, and overwrites nothing")
        func initAndValidate() async throws {
            #expect(try await weir("init").code == 0)
            let validated = try await weir("validate")
            #expect(validated.code == 0, "\(validated.output)")
            #expect(validated.output.contains("weir.yaml: ok, 1 limit"))
            let again = try await weir("init")
            #expect(again.code == 1)
            #expect(again.output.contains("already there"))
            let python = packageFolder.appending(path: ".build/venv/bin/python").path
            let schema = packageFolder.appending(path: "docs/weir.schema.json").path
            let program =
                "import json, yaml, jsonschema; jsonschema.validate(yaml.safe_load(open('weir.yaml')), json.load(open('\(schema)')))"
            let check = try Program(python, ["-c", program], in: folder)
            #expect(try await check.wait() == 0, "\(check.log)")
        }

        @Test("validate ends with 2 and says what is wrong, and where")
        func validate() async throws {
            _ = try folder.write("limits:\n  - name: a\n    rat: 1/s\n", "bad.yaml")
            let bad = try await weir("validate", "bad.yaml")
            #expect(bad.code == 2)
            #expect(bad.output.contains("bad.yaml:3:5: error: unknown key 'rat' in a limit; did you mean 'rate'?"))
            #expect(try await weir("validate", "missing.yaml").code == 2)
            _ = try folder.write("client: [{header: X-Key}]\nlimits: [{name: a, rate: 1/s}]", "risky.yaml")
            #expect(try await weir("validate", "risky.yaml").code == 0)
            #expect(try await weir("validate", "--strict", "risky.yaml").code == 2)
            #expect(try await weir("validat").code == 64)
        }

        @Test("replay prints one line for each line of the log, exactly, and a report")
        func replay() async throws {
            _ = try folder.write(
                """
                client: [{header: X-Key, known: {file: keys.txt}}]
                tiers: {source: {file: keys.txt}, default: free}
                limits:
                  - {name: a, rate: {free: 2/minute, pro: 7/second}}
                  - {name: gpu, match: {path: /gpu}, key: [global], algorithm: concurrency, limit: 1}
                """, "weir.yaml")
            _ = try folder.write("k pro\n", "keys.txt")
            _ = try folder.write(
                """
                {"time": 10.1234567}
                {"time": 10.2}
                {"time": 10.2}
                {"time": 10.2, "headers": {"X-Key": "k"}}
                {"time": 10.2, "cost": 0}
                {"time": 9}
                {"time": 1e-9223372036854775808}
                {"method": "GET"}
                {"time": 11, "path": "/gpu", "address": "192.0.2.1", "duration": 2.5}
                {"time": 13.499999, "path": "/gpu", "address": "192.0.2.1"}
                {"time": 13.5, "path": "/gpu", "address": "192.0.2.1"}
                {"time": 13.5, "tier": "pro", "cost": 7, "address": "192.0.2.9"}
                {"time": 13.5, "path": "/%2f"}
                """, "log.jsonl")
            let result = try await weir(
                "replay", "--policy", "weir.yaml", "--format", "jsonl", "--decisions", "log.jsonl")
            #expect(result.code == 0)
            let lines = result.output.split(separator: "\n").filter { $0.hasPrefix("{") }.map(String.init)
            let decisions = lines.map { line in
                line.replacingOccurrences(of: "\"", with: "").replacingOccurrences(of: "{", with: "")
                    .replacingOccurrences(of: "}", with: "")
            }
            #expect(
                decisions == [
                    "allowed: true, status: 200, limit: 2, remaining: 1, retry_after: null, reset_after: 30, delay: 0, limited_by: null",
                    "allowed: true, status: 200, limit: 2, remaining: 0, retry_after: null, reset_after: 59.923456, delay: 0, limited_by: null",
                    "allowed: false, status: 429, limit: 2, remaining: 0, retry_after: 29.923456, reset_after: 59.923456, delay: 0, limited_by: a",
                    "allowed: true, status: 200, limit: 7, remaining: 6, retry_after: null, reset_after: 0.142858, delay: 0, limited_by: null",
                    "allowed: true, status: 200, limit: 2, remaining: 0, retry_after: null, reset_after: 59.923456, delay: 0, limited_by: null",
                    "allowed: false, status: 429, limit: 2, remaining: 0, retry_after: 29.923456, reset_after: 59.923456, delay: 0, limited_by: a",
                    "error: 'time' must be seconds from 0 to 9007199254",
                    "error: 'time' is missing",
                    "allowed: true, status: 200, limit: 1, remaining: 0, retry_after: null, reset_after: null, delay: 0, limited_by: null",
                    "allowed: false, status: 429, limit: 1, remaining: 0, retry_after: null, reset_after: null, delay: 0, limited_by: gpu",
                    "allowed: true, status: 200, limit: 2, remaining: 0, retry_after: null, reset_after: 57.5, delay: 0, limited_by: null",
                    "allowed: true, status: 200, limit: 7, remaining: 0, retry_after: null, reset_after: 1, delay: 0, limited_by: null",
                    "allowed: false, status: 400, limit: null, remaining: null, retry_after: null, reset_after: null, delay: 0, limited_by: null",
                ], "\(result.output)")
            #expect(result.output.contains("11 requests: 7 allowed, 1 answered 400, 3 answered 429; 2 broken lines"))
            #expect(result.output.contains("limit a: denied 2, first at 10.2"))
        }

        @Test("demo needs nothing else, and its loop ends in 429")
        func demo() async throws {
            let port = try freePort()
            let admin = try freePort()
            let program = try Program(
                Weir.binary, ["demo", "--listen", "127.0.0.1:\(port)", "--admin", "127.0.0.1:\(admin)"], in: folder)
            try await until("the demo is there") { program.log.contains("curl -i http://127.0.0.1:\(port)/models") }
            var statuses: [Int] = []
            var last: Answer?
            for _ in 0..<12 {
                let connection = try Connection(port)
                try connection.send(
                    "POST /predict HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 17\r\n\r\n{\"inputs\": [\"a\"]}"
                )
                let answer = try Answer(connection.readToEnd())
                statuses.append(answer.status)
                last = answer
            }
            #expect(statuses == Array(repeating: 200, count: 10) + [429, 429])
            #expect(last?["Retry-After"] != nil)
            #expect(last?["RateLimit"]?.hasPrefix("\"predict\";r=0;t=") == true)
            program.signal(SIGINT)
            #expect(try await program.wait() == 0)
        }
    }
}
