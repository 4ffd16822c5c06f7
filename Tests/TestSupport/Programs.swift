public import Foundation

#if canImport(Glibc)
    import Glibc
#endif

/// Why a test can't go on.
public struct SupportError: Error, CustomStringConvertible {
    public let description: String

    public init(description: String) { self.description = description }
}

/// The package's folder.
public let packageFolder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appending(path: "../..")
    .standardized

/// A port that nobody listens on.
public func freePort() throws -> Int {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    defer { close(descriptor) }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = inet_addr("127.0.0.1")
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let port = withUnsafeMutablePointer(to: &address) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer -> in_port_t? in
            guard bind(descriptor, pointer, length) == 0, getsockname(descriptor, pointer, &length) == 0 else {
                return nil
            }
            return UnsafeRawPointer(pointer).load(as: sockaddr_in.self).sin_port
        }
    }
    guard let port else { throw SupportError(description: "no port is free") }
    return Int(UInt16(bigEndian: port))
}

/// A folder of a test's own, removed with it.
public final class Folder: Sendable {
    public let url: URL

    public init() throws {
        url = FileManager.default.temporaryDirectory.appending(path: "weir-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(at: url) }

    public func write(_ text: String, _ name: String) throws -> String {
        let file = url.appending(path: name)
        try text.write(to: file, atomically: true, encoding: .utf8)
        return file.path
    }
}

/// A program that a test started. It is stopped by its process id when the test lets go of it.
public final class Program: @unchecked Sendable {
    // Sendable, because a Process is only signalled and waited for after it was started.
    private let process: Process
    private let output: URL

    public init(
        _ executable: String, _ arguments: [String], in folder: Folder, environment: [String: String] = [:]
    ) throws {
        process = Process()
        process.executableURL = URL(fileURLWithPath: executable)
        process.arguments = arguments
        process.currentDirectoryURL = folder.url
        process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
        output = folder.url.appending(path: "\(UUID().uuidString).log")
        _ = FileManager.default.createFile(atPath: output.path, contents: nil)
        let file = try FileHandle(forWritingTo: output)
        process.standardOutput = file
        process.standardError = file
        process.standardInput = FileHandle.nullDevice
        try process.run()
    }

    deinit {
        if process.isRunning { kill(process.processIdentifier, SIGKILL) }
    }

    public var log: String { (try? String(contentsOf: output, encoding: .utf8)) ?? "" }
    public var isRunning: Bool { process.isRunning }
    public var identifier: Int32 { process.processIdentifier }

    public func signal(_ signal: Int32) { kill(process.processIdentifier, signal) }

    /// Waits for the end. Returns its exit code.
    public func wait() async throws -> Int32 {
        try await until("the program ends") { !self.process.isRunning }
        return process.terminationStatus
    }

    /// Resident memory in bytes.
    public var residentBytes: Int {
        let text = (try? String(contentsOfFile: "/proc/\(process.processIdentifier)/statm", encoding: .utf8)) ?? ""
        return (Int(text.split(separator: " ").dropFirst().first ?? "") ?? 0) * Int(sysconf(Int32(_SC_PAGESIZE)))
    }
}

/// Waits for a condition, up to so many seconds.
public func until(
    _ what: @autoclosure () -> String, for seconds: Int = 20, isolation: isolated (any Actor)? = #isolation,
    _ condition: () async throws -> Bool
) async throws {
    for _ in 0..<(100 * seconds) {
        if try await condition() { return }
        try await Task.sleep(for: .milliseconds(10))
    }
    throw SupportError(description: "waited in vain until \(what())")
}
