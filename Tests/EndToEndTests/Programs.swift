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

/// `weir serve` before an upstream.
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
    init(_ folder: Folder, upstream: Int, _ policy: String, environment: [String: String] = [:]) async throws {
        port = try freePort()
        admin = try freePort()
        self.folder = folder
        serverLines = "listen: 127.0.0.1:\(port)\nadmin: 127.0.0.1:\(admin)\nupstream: http://127.0.0.1:\(upstream)\n"
        policyPath = try folder.write(serverLines + policy, "weir.yaml")
        program = try Program(Weir.binary, ["serve", "--config", policyPath], in: folder, environment: environment)
        let port = port
        let program = program
        try await until("weir listens: \(program.log)") {
            program.log.contains("listening") && (try? Connection(port)) != nil
        }
    }

    func rewrite(_ policy: String) throws { _ = try folder.write(serverLines + policy, "weir.yaml") }

    func get(_ path: String, headers: [String: String] = [:]) throws -> Answer {
        try request("GET", path, headers: headers)
    }

    func request(_ method: String, _ path: String, headers: [String: String] = [:], body: String? = nil) throws
        -> Answer
    {
        let connection = try Connection(port)
        var text = "\(method) \(path) HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        for (name, value) in headers { text += "\(name): \(value)\r\n" }
        if let body { text += "Content-Length: \(body.utf8.count)\r\n" }
        try connection.send(text + "\r\n" + (body ?? ""))
        return try Answer(connection.readToEnd())
    }

    func metrics() throws -> String {
        let connection = try Connection(admin)
        try connection.send("GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        return try connection.readToEnd()
    }
}

/// A raw TCP connection: bytes in, bytes out.
final class Connection {
    private let descriptor: Int32

    struct Failure: Error {
        let what: String
    }

    init(_ port: Int) throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var limit = timeval(tv_sec: 20, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        address.sin_port = in_port_t(UInt16(port).bigEndian)
        let result = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard result == 0 else {
            close(descriptor)
            throw Failure(what: "connect")
        }
    }

    deinit { close(descriptor) }

    func send(_ text: String) throws { try send(Array(text.utf8)) }

    func send(_ bytes: [UInt8]) throws {
        var rest = bytes[...]
        while !rest.isEmpty {
            let sent = rest.withUnsafeBytes { Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            guard sent > 0 else { throw Failure(what: "send") }
            rest = rest.dropFirst(sent)
        }
    }

    /// What comes next; empty at the end.
    func read() throws -> [UInt8] {
        var buffer = [UInt8](repeating: 0, count: 65_536)
        let count = recv(descriptor, &buffer, buffer.count, 0)
        guard count >= 0 else {
            if errno == ECONNRESET { return [] }
            throw Failure(what: "read")
        }
        return Array(buffer[..<count])
    }

    func readToEnd() throws -> String {
        var all: [UInt8] = []
        while true {
            let bytes = try read()
            if bytes.isEmpty { return String(decoding: all, as: UTF8.self) }
            all += bytes
        }
    }

    /// Reads until the text has come.
    func read(until text: String) throws -> String {
        var all: [UInt8] = []
        while true {
            let bytes = try read()
            all += bytes
            let found = String(decoding: all, as: UTF8.self)
            if found.contains(text) { return found }
            guard !bytes.isEmpty else { throw Failure(what: "the end came before '\(text)': \(found)") }
        }
    }
}

/// An HTTP response, taken apart.
struct Answer {
    let status: Int
    let headers: [(name: String, value: String)]
    let body: String
    let text: String

    init(_ text: String) throws {
        self.text = text
        let parts = text.split(separator: "\r\n\r\n", maxSplits: 1, omittingEmptySubsequences: false)
        let lines = parts[0].split(separator: "\r\n")
        status = try #require(lines.first.flatMap { Int($0.split(separator: " ").dropFirst().first ?? "") }, "\(text)")
        headers = lines.dropFirst().map { line in
            let colon = line.firstIndex(of: ":") ?? line.endIndex
            return (line[..<colon].lowercased(), line[colon...].dropFirst().trimmingCharacters(in: .whitespaces))
        }
        body = parts.count > 1 ? String(parts[1]) : ""
    }

    subscript(name: String) -> String? { headers.first { $0.name == name.lowercased() }?.value }

    /// The body of an answer of the sample API, which is JSON.
    var json: [String: Any] {
        get throws { try #require(try JSONSerialization.jsonObject(with: Data(unchunked.utf8)) as? [String: Any]) }
    }

    /// The body without its chunks' frames.
    var unchunked: String {
        guard self["transfer-encoding"] == "chunked" else { return body }
        var rest = body[...]
        var result = ""
        while let end = rest.firstRange(of: "\r\n"), let size = Int(rest[..<end.lowerBound], radix: 16), size > 0 {
            let start = end.upperBound
            let stop = rest.utf8.index(start, offsetBy: size)
            result += rest[start..<stop]
            rest = rest[stop...].dropFirst(1)
        }
        return result
    }
}
