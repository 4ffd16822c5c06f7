import Foundation
import TestSupport
import Testing

extension EndToEnd {
    @Suite("The command line", .serialized)
    struct CommandTests {
        let folder: Folder

        init() throws { folder = try Folder() }

        /// Runs a command. Returns its exit code and all that it wrote.
        func weir(_ arguments: String...) async throws -> (code: Int32, output: String) { try await weir(arguments) }

        func weir(
            _ arguments: [String], environment: [String: String] = [:]
        ) async throws -> (code: Int32, output: String) {
            let program = try Program(Weir.binary, arguments, in: folder, environment: environment)
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
            #expect(again.output.contains("already exists"))
            let python = packageFolder.appending(path: ".build/venv/bin/python").path
            let schema = packageFolder.appending(path: "docs/weir.schema.json").path
            let program =
                "import json, yaml, jsonschema; jsonschema.validate(yaml.safe_load(open('weir.yaml')), json.load(open('\(schema)')))"
            let check = try Program(python, ["-c", program], in: folder)
            #expect(try await check.wait() == 0, "\(check.log)")
        }

        /// Lines after `limits: [{name: a, rate: 1/s}]`, and limits in the place of these, each with whether it is
        /// right.
        static let values: [(policy: String, isRight: Bool)] =
            [
                ("rate: 10/second", true), ("rate: 10/s", true), ("rate: 10 per minute", true),
                ("rate: 10 per 5 minutes", true), ("rate: 10/h burst 20", true), ("rate: 10/s; 100/day", true),
                ("rate: unlimited", true), ("rate: {}", false), ("rate: 10/fortnight", false),
                ("rate: ten/second", false), ("rate: 10", false), ("rate: -1/s", false), ("rate: 1.5/s", false),
                ("rate: '10/s,'", false), ("rate: 10/s burst", false), ("rate: [1/s]", false),
                ("rate: 1/s, burst: 5", true), ("rate: 1/s, burst: 0", false), ("rate: 1/s, burst: 2000000000", false),
                ("rate: 1/s, algorithm: gcra", true), ("rate: 1/s, algorithm: magic", false),
                ("rate: 1/s, mode: shadow", true), ("rate: 1/s, mode: silent", false),
                ("rate: 5/s, cost: 3", true), ("rate: 1/s, cost: -1", false),
                ("rate: 1/s, cost: {header: X-Cost, default: 1, max: 1}", true),
                ("rate: 1/s, cost: {header: 'X Cost'}", false),
                ("rate: 1/s, key: [client, route]", true), ("rate: 1/s, key: []", false),
                ("rate: 1/s, key: [clown]", false), ("rate: 1/s, key: [{address: {ipv6_prefix: 48}}]", true),
                ("rate: 1/s, key: [{address: {ipv6_prefix: 129}}]", false),
                ("rate: 1/s, match: {path: /a}", true), ("rate: 1/s, match: {path: a}", false),
                ("rate: 1/s, match: {method: GET}", true), ("rate: 1/s, match: {method: [GET, POST]}", true),
                ("rate: 1/s, match: {address: 10.0.0.0/8}", true),
                ("rate: 1/s, warm_up: {factor: 0.5, after: 5m}", true),
                ("rate: 1/s, warm_up: {factor: 2, after: 5m}", false),
                ("rate: 1/s, warm_up: {factor: 0.5, after: soon}", false),
                ("algorithm: concurrency, limit: 4", true), ("algorithm: concurrency, limit: 0", false),
                ("rate: 1/s, algorithm: leaky-bucket, max_wait: 2s", true),
                ("rate: 1/s, algorithm: leaky-bucket, max_wait: 2m", false),
                ("rate: 1/s, on_store_failure: deny", true), ("rate: 1/s, on_store_failure: shrug", false),
            ].map { ("limits: [{name: a, \($0)}]", $1) }
            + [
                ("listen: 127.0.0.1:80", true), ("listen: nowhere", false), ("threads: 4", true), ("threads: 0", false),
                ("upstream: http://127.0.0.1:8000", true), ("upstream: ftp://a", false),
                ("trusted_proxies: [10.0.0.0/8, '::1']", true), ("address_header: Forwarded", true),
                ("address_header: X-Real-IP", false), ("paths: lenient", true), ("paths: loose", false),
                ("on_store_failure: allow", true), ("on_store_failure: never", false),
                ("tiers: {source: {header: X-Tier}, default: free}", true), ("tiers: {source: {}}", false),
                ("exempt: [{path: /health}]", true), ("exempt: [{rate: 1/s}]", false),
                ("bypass: {header: X-B, secret: {env: PATH}}", true), ("bypass: {header: X-B}", false),
                ("access: [{match: {path: /a}, deny: true}]", true), ("access: [{match: {path: /a}}]", false),
                ("body_limit: 1048576", true), ("body_limit: big", false),
            ].map { ("limits: [{name: a, rate: 1/s}]\n\($0)", $1) }

        @Test("the JSON Schema and the parser agree on values too")
        func schemaValues() async throws {
            for (index, value) in Self.values.enumerated() {
                _ = try folder.write(value.policy + "\n", "\(index).yaml")
            }
            let schema = packageFolder.appending(path: "docs/weir.schema.json").path
            let check = try Program(
                packageFolder.appending(path: ".build/venv/bin/python").path,
                [
                    "-c",
                    """
                    import json, yaml, jsonschema
                    validator = jsonschema.Draft202012Validator(json.load(open('\(schema)')))
                    for i in range(\(Self.values.count)):
                        print(i, 'right' if validator.is_valid(yaml.safe_load(open(f'{i}.yaml'))) else 'wrong')
                    """,
                ], in: folder)
            #expect(try await check.wait() == 0, "\(check.log)")
            let bySchema = check.log.split(separator: "\n").map { $0.hasSuffix("right") }
            try #require(bySchema.count == Self.values.count, "\(check.log)")
            for (index, value) in Self.values.enumerated() {
                let parsed = try await weir("validate", "\(index).yaml")
                #expect((parsed.code == 0) == value.isRight, "\(value.policy): \(parsed.output)")
                #expect(bySchema[index] == value.isRight, "\(value.policy): the schema says otherwise")
            }
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

        @Test("replay reads bodies, statuses, usages and ISO times, and says what the log doesn't tell")
        func replayFields() async throws {
            _ = try folder.write(
                """
                limits:
                  - {name: batch, match: {path: /batch}, rate: 10/hour, cost: {json_items: /inputs}}
                  - {name: tokens, match: {path: /chat}, rate: 1000/hour, cost: {response: tokens, reserve: 10, default: 400}}
                  - {name: login, match: {path: /login}, rate: 2/hour, cost: {response: {status: {401: 1}}}}
                  - {name: model, match: {path: /model}, rate: 1/hour, key: [{json: /model}]}
                """, "fields.yaml")
            _ = try folder.write(
                """
                {"time": "2026-11-27T10:00:00Z", "path": "/batch", "body": {"inputs": [1, 2, 3]}}
                {"time": "2026-11-27T11:00:00.5+01:00", "path": "/batch", "body": "{\\"inputs\\": [1]}"}
                {"time": 1795773601, "path": "/batch", "remote_addr": "192.0.2.1"}
                {"time": 1795773602, "path": "/chat", "status": 200, "usage": {"prompt_tokens": 5, "completion_tokens": 7}}
                {"time": 1795773603, "path": "/chat", "status": 200, "usage": 88}
                {"time": 1795773604, "path": "/chat", "status": 422}
                {"time": 1795773605, "path": "/chat"}
                {"time": 1795773606, "path": "/chat", "cost": 0}
                {"time": 1795773607, "path": "/login", "status": 401}
                {"time": 1795773608, "path": "/login", "status": 200}
                {"time": 1795773609, "path": "/login", "status": 401}
                {"time": 1795773610, "path": "/login", "status": 401}
                {"time": 1795773611, "path": "/model", "body": {"model": "a"}}
                {"time": 1795773612, "path": "/model", "body": {"model": "b"}}
                {"time": "yesterday"}
                """, "fields.jsonl")
            let result = try await weir("replay", "fields.yaml", "fields.jsonl", "--decisions")
            #expect(result.code == 0)
            let remaining = result.output.components(separatedBy: "\"remaining\": ").dropFirst().map {
                Int($0.prefix { $0.isNumber }) ?? -1
            }
            #expect(
                remaining == [7, 6, 5, 990, 978, 890, 890, 891, 1, 0, 0, 0, 0, 0], "\(result.output)")
            let statuses = result.output.components(separatedBy: "\"status\": ").dropFirst().map { $0.prefix(3) }
            #expect(statuses.suffix(6) == ["200", "200", "200", "429", "200", "200"])
            for text in [
                "{\"error\": \"'time' must be seconds since 1970, or a time such as 2026-11-27T10:00:00Z\"}",
                "limit batch: its cost is in the body, and there is no 'body' in 1 request",
                "limit tokens: its cost is in the response, and there is no 'usage' in 2 requests",
                "unknown field 'remote_addr' in 1 line; it is called 'address' here",
            ] { #expect(result.output.contains(text), "\(text): \(result.output)") }
            _ = try folder.write("nothing\n", "broken.jsonl")
            let broken = try await weir("replay", "-c", "fields.yaml", "broken.jsonl")
            #expect(broken.code == 1 && broken.output.contains("nothing could be read"))
        }

        @Test("every command takes the policy as --config, as -c and as it is, and says when it is there twice")
        func policyOption() async throws {
            _ = try folder.write("upstream: http://127.0.0.1:1\nlimits: [{name: a, rate: 1/s}]", "p.yaml")
            for arguments in [["--config", "p.yaml"], ["-c", "p.yaml"], ["p.yaml"]] {
                let result = try await weir(["validate"] + arguments)
                #expect(result.code == 0 && result.output.contains("p.yaml: ok, 1 limit"), "\(arguments)")
            }
            #expect(try await weir("validate", "-c", "p.yaml", "p.yaml").output.contains("is given twice"))
            #expect(try await weir("serve", "-c", "p.yaml", "p.yaml").output.contains("is given twice"))
            let none = try await weir("start", "none.yaml")
            #expect(none.code == 2 && none.output.contains("none.yaml: error: there is no such file"))
        }

        @Test("validate warns of a policy without an upstream and of mistyped variables")
        func silentMistakes() async throws {
            _ = try folder.write("limits: [{name: a, rate: 1/s}]", "none.yaml")
            let result = try await weir(["validate", "none.yaml"], environment: ["WEIR_UPSTRAEM": "http://a"])
            #expect(result.output.contains("there is no 'upstream', which 'weir serve' needs"))
            #expect(result.output.contains("Weir reads no variable 'WEIR_UPSTRAEM'; did you mean 'WEIR_UPSTREAM'?"))
        }

        @Test("replay prints the delay of the request, whichever limit it comes from")
        func replayDelay() async throws {
            _ = try folder.write(
                """
                limits:
                  - {name: window, rate: 4/minute, algorithm: fixed-window}
                  - {name: bucket, rate: 2 per 2 seconds, algorithm: leaky-bucket, max_wait: 10s}
                """, "delays.yaml")
            _ = try folder.write(String(repeating: "{\"time\": 0}\n", count: 4), "delays.jsonl")
            let result = try await weir(
                "replay", "--policy", "delays.yaml", "--format", "jsonl", "--decisions", "delays.jsonl")
            let delays = result.output.components(separatedBy: "\"delay\": ").dropFirst().map { String($0.prefix(1)) }
            #expect(delays == ["0", "1", "2", "3"], "\(result.output)")
        }

        @Test("demo needs nothing else, and its three curl lines end in 429")
        func demo() async throws {
            let port = try freePort()
            let admin = try freePort()
            let program = try Program(
                Weir.binary, ["demo", "--listen", "127.0.0.1:\(port)", "--admin", "127.0.0.1:\(admin)"], in: folder)
            try await until("the demo is there") { program.log.contains("curl -i http://127.0.0.1:\(port)/models") }
            // The three lines that it prints, typed as they are.
            let lines = program.log.split(separator: "\n").filter { $0.contains("curl ") }.map(String.init)
            try #require(lines.count == 3, "\(program.log)")
            var answers: [String] = []
            for line in lines {
                let shell = try Program("/bin/bash", ["-c", line], in: folder)
                #expect(try await shell.wait() == 0, "\(shell.log)")
                answers.append(shell.log)
            }
            #expect(answers[0].contains("HTTP/1.1 200"), "\(answers[0])")
            #expect(answers[1].contains("HTTP/1.1 200"), "\(answers[1])")
            // The second line spent 2 of 10.
            let statuses = answers[2].split(separator: "\n").prefix(12).map(String.init)
            #expect(statuses == Array(repeating: "200", count: 8) + Array(repeating: "429", count: 4))
            #expect(answers[2].contains("HTTP/1.1 429"), "\(answers[2])")
            #expect(answers[2].contains("Retry-After: "), "\(answers[2])")
            #expect(answers[2].contains("RateLimit: \"predict\";r=0;t="), "\(answers[2])")
            program.signal(SIGINT)
            #expect(try await program.wait() == 0)
        }
    }
}
