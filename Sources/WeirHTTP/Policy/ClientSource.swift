public import Weir

/// One way to identify a client.
public enum ClientSource: Sendable {
    /// A header's value. If `fromTrustedProxies` is true, the header is ignored unless a trusted proxy sent it.
    case header(String, fromTrustedProxies: Bool, known: KnownClients?)
    /// The token of `Authorization: Bearer` as it is, such as an API key (RFC 6750, 2.1).
    case bearer(known: KnownClients?)
    /// A claim of a verified token.
    case jwt(claim: String)
    /// The client's address, with the prefix length, in bits, that groups IPv6 addresses.
    case address(ipv6Prefix: Int)
}

/// The place where a policy's known clients are listed.
public enum KnownClients: Sendable {
    /// A file of clients.
    case file(Directory)
    /// A Redis hash per client.
    case hash(HashLookup)
}

/// The one header that forwarded addresses are read from.
public enum AddressHeader: String, Sendable, Hashable {
    case xForwardedFor = "X-Forwarded-For"
    case forwarded = "Forwarded"
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
