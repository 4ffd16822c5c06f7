public import Weir

/// One way to tell who is asking.
public enum ClientSource: Sendable {
    /// A header's value. From others than trusted proxies it is ignored when `fromTrustedProxies`.
    case header(String, fromTrustedProxies: Bool, known: KnownClients?)
    case jwt(claim: String)
    case address(ipv6Prefix: Int)
}

/// Where a policy's known clients stand.
public enum KnownClients: Sendable {
    case file(Directory)
    case hash(HashLookup)
}

/// The one header from which forwarded addresses are taken.
public enum AddressHeader: String, Sendable, Hashable {
    case xForwardedFor = "X-Forwarded-For"
    case forwarded = "Forwarded"
}

/// How tokens are verified.
public struct TokenSettings: Sendable, Hashable {
    /// A JSON Web Key Set (RFC 7517).
    public var keysFile: String
    public var issuer: String?
    public var audience: String?
}
