/// Verifies tokens. `WeirJWT` has one, so that an app without tokens needn't build cryptography.
public protocol TokenVerifier: Sendable {
    /// The claims of a token whose signature, times, issuer and audience hold; nil for any other.
    func verify(_ token: String) -> VerifiedToken?
}

/// The claims of a verified token, as text.
public struct VerifiedToken: Sendable, Hashable {
    private let claims: [String: String]

    /// - Parameter claims: strings and numbers; others are left out.
    public init(claims: [String: String]) {
        self.claims = claims
    }

    public func claim(_ name: String) -> String? { claims[name] }
}
