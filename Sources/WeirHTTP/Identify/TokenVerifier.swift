/// Verifies bearer tokens.
///
/// `WeirJWT` has an implementation. It is a separate module, so that an app without tokens doesn't build cryptography.
public protocol TokenVerifier: Sendable {
    /// Returns the claims of a token, or nil unless its signature, times, issuer and audience are valid.
    ///
    /// - Parameter token: the token, without the scheme `Bearer`.
    func verify(_ token: String) -> VerifiedToken?
}

/// The claims of a verified token, as text.
public struct VerifiedToken: Sendable, Hashable {
    private let claims: [String: String]

    /// Creates a token from its claims.
    ///
    /// - Parameter claims: the claims that are strings or numbers. Leave out claims of other types.
    public init(claims: [String: String]) {
        self.claims = claims
    }

    /// The value of a claim, or nil if the token doesn't have it.
    public func claim(_ name: String) -> String? { claims[name] }
}
