import Foundation
import TestSupport
import Testing

#if canImport(Glibc)
    import Glibc
#endif

/// All tests that start programs, one after another: they wait for sockets, and on two cores they would wait for
/// each other.
@Suite("End to end", .serialized)
enum EndToEnd {}

/// The API that is protected: FastAPI under uvicorn.
struct SampleAPI {
    let port: Int
    let program: Program

    init(_ folder: Folder) async throws {
        let port = try freePort()
        self.port = port
        let environment = ProcessInfo.processInfo.environment["WEIR_VENV"]
        let python = environment ?? packageFolder.appending(path: ".build/venv").path
        let upstreams = packageFolder.appending(path: "Tests/EndToEndTests/Upstreams").path
        program = try Program(
            python + "/bin/uvicorn",
            ["app:app", "--app-dir", upstreams, "--port", "\(port)", "--no-access-log", "--log-level", "warning"],
            in: folder, environment: ["PYTHONDONTWRITEBYTECODE": "1"])
        try await until("uvicorn listens") { (try? Connection(port)) != nil }
    }
}

/// `weir serve` in front of an upstream.
struct Weir {
    let port: Int
    let admin: Int
    let program: Program
    let policyPath: String
    let folder: Folder
    private let serverLines: String

    static let binary = packageFolder.appending(path: ".build/debug/weir").path

    /// - Parameters:
    ///   - upstream: the port of the API.
    ///   - policy: all of the policy but where it listens.
    ///   - addresses: further addresses to listen on.
    ///   - hosts: names by which the admin port may be addressed.
    init(
        _ folder: Folder, upstream: Int, _ policy: String, alsoListen addresses: [String] = [],
        adminHosts hosts: [String] = [],
        environment: [String: String] = [:]
    ) async throws {
        port = try freePort()
        admin = try freePort()
        self.folder = folder
        let listen = (["127.0.0.1:\(port)"] + addresses).map { "\"\($0)\"" }.joined(separator: ", ")
        serverLines =
            "listen: [\(listen)]\nadmin: {listen: '127.0.0.1:\(admin)', hosts: [\(hosts.joined(separator: ", "))]}\nupstream: http://127.0.0.1:\(upstream)\n"
        policyPath = try folder.write(serverLines + policy, "weir.yaml")
        program = try Program(Weir.binary, ["serve", "--config", policyPath], in: folder, environment: environment)
        let port = port
        let program = program
        try await until("weir listens: \(program.log)") {
            program.log.contains("listening") && (try? Connection(port)) != nil
        }
    }

    func rewrite(_ policy: String) throws { _ = try folder.write(serverLines + policy, "weir.yaml") }

    func get(_ path: String, headers: [String: String] = [:]) throws -> RawResponse {
        try request("GET", path, headers: headers)
    }

    func request(_ method: String, _ path: String, headers: [String: String] = [:], body: String? = nil) throws
        -> RawResponse
    {
        try exchange(port, method, path, headers: headers, body: body)
    }

    func metrics() throws -> String {
        let connection = try Connection(admin)
        try connection.send("GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        return try connection.readToEnd()
    }
}

/// The client of `http2.py`.
enum HTTP2Script {
    static let python =
        (ProcessInfo.processInfo.environment["WEIR_VENV"] ?? packageFolder.appending(path: ".build/venv").path)
        + "/bin/python"
    static let path = packageFolder.appending(path: "Tests/EndToEndTests/Clients/http2.py").path
}

/// Runs cases of `http2.py`. Returns what each reports.
func http2(_ port: Int, in folder: Folder, _ cases: [String]) async throws -> [String: [String: Any]] {
    let output = try await run(
        [HTTP2Script.python, HTTP2Script.path, "\(port)"] + cases, in: folder,
        environment: ["PYTHONDONTWRITEBYTECODE": "1"])
    var reports: [String: [String: Any]] = [:]
    for line in output.split(separator: "\n") {
        guard let report = try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any],
            let name = report["case"] as? String
        else { continue }
        reports[name] = report
    }
    return reports
}
