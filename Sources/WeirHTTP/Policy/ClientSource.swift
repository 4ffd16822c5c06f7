public import Weir

/// One way to identify a client.
public struct ClientSource: Sendable, Hashable {
    package enum Kind: Sendable, Hashable {
        case header(String, fromTrustedProxies: Bool, known: KnownClients.Kind?)
        case bearer(known: KnownClients.Kind?)
        case jwt(claim: String)
        case address(ipv6Prefix: Int)
    }

    package let kind: Kind

    package init(_ kind: Kind) { self.kind = kind }

    /// A header's value.
    ///
    /// - Parameters:
    ///   - name: the header's name.
    ///   - fromTrustedProxies: whether the header is ignored unless a trusted proxy sent it.
    ///   - known: the clients that count as known; nil if every value does.
    public static func header(
        _ name: String, fromTrustedProxies: Bool = false, known: KnownClients? = nil
    ) -> ClientSource {
        ClientSource(.header(name, fromTrustedProxies: fromTrustedProxies, known: known?.kind))
    }

    /// The token of `Authorization: Bearer` as it is, such as an API key (RFC 6750, 2.1).
    ///
    /// - Parameter known: the tokens that count as known; nil if every token does.
    public static func bearer(known: KnownClients? = nil) -> ClientSource { ClientSource(.bearer(known: known?.kind)) }

    /// A claim of a verified token.
    public static func jwt(claim: String) -> ClientSource { ClientSource(.jwt(claim: claim)) }

    /// The client's address.
    ///
    /// - Parameter ipv6Prefix: the number of bits that group IPv6 addresses, 1 to 128.
    public static func address(ipv6Prefix: Int = 64) -> ClientSource { ClientSource(.address(ipv6Prefix: ipv6Prefix)) }
}

/// The place where a policy's known clients are listed.
public struct KnownClients: Sendable, Hashable {
    package enum Kind: Sendable, Hashable {
        case file(ClientFile)
        case hash(HashLookup)
    }

    package let kind: Kind

    package init(_ kind: Kind) { self.kind = kind }

    /// A file of clients.
    public static func file(_ file: ClientFile) -> KnownClients { KnownClients(.file(file)) }
    /// A Redis hash per client.
    public static func hash(_ lookup: HashLookup) -> KnownClients { KnownClients(.hash(lookup)) }
}

/// The one header that forwarded addresses are read from.
public struct AddressHeader: Sendable, Hashable {
    package enum Kind: Sendable, Hashable {
        case xForwardedFor, forwarded
    }

    package let kind: Kind

    /// The header's name.
    package var name: String {
        switch kind {
        case .xForwardedFor: "X-Forwarded-For"
        case .forwarded: "Forwarded"
        }
    }

    /// `X-Forwarded-For`.
    public static let xForwardedFor = AddressHeader(kind: .xForwardedFor)
    /// `Forwarded` (RFC 7239).
    public static let forwarded = AddressHeader(kind: .forwarded)
}

/// Settings for verifying tokens.
public struct TokenSettings: Sendable, Hashable {
    /// The path of a JSON Web Key Set (RFC 7517).
    public var keysFile: String
    /// The issuer that tokens must have; nil for any.
    public var issuer: String?
    /// The audience that tokens must have; nil for any.
    public var audience: String?
}
