import Foundation

#if canImport(Glibc)
    import Glibc
#endif

/// A raw TCP connection: bytes in, bytes out.
public final class Connection: Sendable {
    private let descriptor: Int32

    public struct Failure: Error {
        public let what: String
    }

    public init(_ port: Int) throws {
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
        // It is closed with this object, also when it is never handed out; closed twice, it might be another's by then.
        guard result == 0 else { throw Failure(what: "connect") }
    }

    deinit { close(descriptor) }

    public func send(_ text: String) throws { try send(Array(text.utf8)) }

    public func send(_ bytes: [UInt8]) throws {
        var rest = bytes[...]
        while !rest.isEmpty {
            let sent = rest.withUnsafeBytes { Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            guard sent > 0 else { throw Failure(what: "send") }
            rest = rest.dropFirst(sent)
        }
    }

    /// What comes next; empty at the end.
    public func read() throws -> [UInt8] {
        var buffer = [UInt8](repeating: 0, count: 65_536)
        let count = recv(descriptor, &buffer, buffer.count, 0)
        guard count >= 0 else {
            if errno == ECONNRESET { return [] }
            throw Failure(what: "read")
        }
        return Array(buffer[..<count])
    }

    public func readToEnd() throws -> String {
        var all: [UInt8] = []
        while true {
            let bytes = try read()
            if bytes.isEmpty { return String(decoding: all, as: UTF8.self) }
            all += bytes
        }
    }

    /// Reads until the text has come.
    public func read(until text: String) throws -> String {
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
public struct RawResponse: Sendable {
    public let status: Int
    public let headers: [(name: String, value: String)]
    public let body: String
    public let text: String

    public init(_ text: String) throws {
        self.text = text
        let parts = text.split(separator: "\r\n\r\n", maxSplits: 1, omittingEmptySubsequences: false)
        let lines = parts[0].split(separator: "\r\n")
        guard let status = lines.first.flatMap({ Int($0.split(separator: " ").dropFirst().first ?? "") }) else {
            throw SupportError(description: "no status in '\(text)'")
        }
        self.status = status
        headers = lines.dropFirst().map { line in
            let colon = line.firstIndex(of: ":") ?? line.endIndex
            return (line[..<colon].lowercased(), line[colon...].dropFirst().trimmingCharacters(in: .whitespaces))
        }
        body = parts.count > 1 ? String(parts[1]) : ""
    }

    /// A response that was read apart already.
    public init(status: Int, headers: [(name: String, value: String)], body: String) {
        self.status = status
        self.headers = headers
        self.body = body
        text = ""
    }

    public subscript(name: String) -> String? { headers.first { $0.name == name.lowercased() }?.value }

    /// The body of an answer of the sample API, which is JSON.
    public var json: [String: Any] {
        get throws {
            guard let json = try JSONSerialization.jsonObject(with: Data(unchunked.utf8)) as? [String: Any] else {
                throw SupportError(description: "no object in '\(body)'")
            }
            return json
        }
    }

    /// The body without its chunks' frames.
    public var unchunked: String {
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

/// Sends one request, and reads the answer to its end.
public func exchange(
    _ port: Int, _ method: String, _ path: String, headers: [String: String] = [:], body: String? = nil
) throws -> RawResponse {
    let connection = try Connection(port)
    var text = "\(method) \(path) HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    for (name, value) in headers { text += "\(name): \(value)\r\n" }
    if let body { text += "Content-Length: \(body.utf8.count)\r\n" }
    try connection.send(text + "\r\n" + (body ?? ""))
    return try RawResponse(connection.readToEnd())
}

/// As ``exchange(_:_:_:headers:body:)``, for servers in this process: no thread of theirs is blocked.
public func exchangeApart(
    _ port: Int, _ method: String, _ path: String, headers: [String: String] = [:], body: String? = nil
) async throws -> RawResponse {
    try await withCheckedThrowingContinuation { continuation in
        Thread.detachNewThread {
            continuation.resume(
                with: Result { try exchange(port, method, path, headers: headers, body: body) })
        }
    }
}

extension Connection {
    /// As ``readToEnd()``, for servers in this process: no thread of theirs is blocked.
    public func readApart() async throws -> String { try await apart { try $0.readToEnd() } }

    /// As ``read(until:)``, for servers in this process.
    public func readApart(until text: String) async throws -> String { try await apart { try $0.read(until: text) } }

    private func apart(_ body: @escaping @Sendable (Connection) throws -> String) async throws -> String {
        try await withCheckedThrowingContinuation { continuation in
            Thread.detachNewThread { continuation.resume(with: Result { try body(self) }) }
        }
    }
}
