import Foundation

/// Makes certificates with openssl, each with a key of its own.
public struct TestCertificate: Sendable {
    public let certificate: String
    public let key: String

    /// Makes a certificate that signs itself.
    ///
    /// - Parameters:
    ///   - names: its DNS names.
    ///   - days: how long it is valid.
    ///   - start: a time for `faketime` at which it is made, such as `2020-01-01`.
    public init(_ folder: Folder, _ name: String, names: [String], days: Int = 90, start: String? = nil) async throws {
        let files = folder.url.appending(path: name).path
        certificate = files + ".pem"
        key = files + ".key"
        var command = [
            "/usr/bin/openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-days", "\(days)", "-keyout", key, "-out", certificate, "-subj", "/CN=test", "-addext",
            "subjectAltName=" + names.map { "DNS:\($0)" }.joined(separator: ","),
        ]
        if let start { command = ["/usr/bin/faketime", start] + command }
        try await run(command, in: folder)
    }

    /// The lines for a policy.
    public var policy: String { "{certificate: \(certificate), key: \(key)}" }
}

/// Runs a program to its end.
///
/// - Returns: what it printed.
/// - Throws: an error with what it printed, if it fails.
@discardableResult
public func run(_ command: [String], in folder: Folder, environment: [String: String] = [:]) async throws -> String {
    let program = try Program(command[0], Array(command.dropFirst()), in: folder, environment: environment)
    guard try await program.wait() == 0 else {
        throw SupportError(description: "\(command.joined(separator: " ")): \(program.log)")
    }
    return program.log
}
