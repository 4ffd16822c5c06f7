public import Weir
public import WeirHTTP
import WeirJWT

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// A policy from a file, with the verifier for its tokens.
public struct LoadedPolicy: Sendable {
    /// The policy.
    public let policy: Policy
    /// Verifies tokens; nil when the policy uses none.
    public let verifier: (any TokenVerifier)?
    /// Warnings about probable mistakes.
    public let warnings: [Diagnostic]

    /// Reads a policy and the files that it names.
    ///
    /// - Throws: ``PolicyError`` with every error found.
    public static func load(
        _ path: String, environment: [String: String], clock: any TickClock = SystemClock()
    ) async throws(PolicyError) -> LoadedPolicy {
        let reading = Policy.read(contentsOf: path, environment: environment)
        let policy = try reading.get()
        var verifier: (any TokenVerifier)?
        if let token = reading.token {
            func failed(_ message: String) -> PolicyError {
                PolicyError([Diagnostic(severity: .error, file: token.keysFile, message: message)])
            }
            guard let data = try? Data(contentsOf: URL(fileURLWithPath: token.keysFile)),
                let json = String(validating: data, as: UTF8.self)
            else { throw failed("the key set can't be read") }
            do {
                verifier = try await KeySetVerifier(
                    json: json, issuer: token.issuer, audience: token.audience, clock: clock)
            } catch {
                throw failed(error.description)
            }
        }
        return LoadedPolicy(
            policy: policy, verifier: verifier, warnings: reading.diagnostics.filter { $0.severity == .warning })
    }
}
