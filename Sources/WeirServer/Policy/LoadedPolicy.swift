package import Weir
package import WeirHTTP
import WeirJWT

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// A policy from a file, with the verifier for its tokens.
package struct LoadedPolicy: Sendable {
    /// The policy.
    package let policy: Policy
    /// Verifies tokens; nil when the policy uses none.
    package let verifier: (any TokenVerifier)?
    /// The certificates for TLS; nil when the policy names none.
    package let certificates: ServerCertificates?
    /// Warnings about probable mistakes.
    package let warnings: [PolicyDiagnostic]

    /// Reads a policy and the files that it names.
    ///
    /// - Throws: ``PolicyError`` with every error found.
    package static func load(
        _ path: String, environment: [String: String], clock: any TickClock = SystemClock()
    ) async throws(PolicyError) -> LoadedPolicy {
        let reading = Policy.read(contentsOf: path, environment: environment)
        let policy = try reading.get()
        var verifier: (any TokenVerifier)?
        if let token = reading.token {
            func failed(_ message: String) -> PolicyError {
                PolicyError([PolicyDiagnostic(severity: .error, file: token.keysFile, message: message)])
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
        var warnings = reading.diagnostics.filter { $0.severity == .warning }
        warnings += policy.limits.filter(\.match.isNone).map {
            PolicyDiagnostic(
                severity: .warning, file: path,
                message: "the limit '\($0.name)' has 'match: none', so it applies only where an app names it")
        }
        func diagnostic(_ severity: PolicyDiagnostic.Severity, certificate index: Int, _ message: String)
            -> PolicyDiagnostic
        {
            let place = index < reading.certificatePlaces.count ? reading.certificatePlaces[index] : (0, 0)
            return PolicyDiagnostic(severity: severity, file: path, line: place.0, column: place.1, message: message)
        }
        var certificates: ServerCertificates?
        if !policy.gateway.tls.isEmpty {
            do {
                let read = try ServerCertificates(policy.gateway.tls)
                let now = Date(timeIntervalSince1970: Double(clock.timestamp) / 1_000_000)
                warnings += read.warnings(at: now).map { diagnostic(.warning, certificate: $0.index, $0.message) }
                certificates = read
            } catch {
                throw PolicyError([diagnostic(.error, certificate: error.index, error.message)])
            }
        }
        return LoadedPolicy(policy: policy, verifier: verifier, certificates: certificates, warnings: warnings)
    }
}
