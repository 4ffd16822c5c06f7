/// One part of a limit's key. Each different key has a budget of its own.
public struct KeyDimension: Sendable, Hashable {
    package enum Kind: Sendable, Hashable {
        case client
        case address(ipv6Prefix: Int?)
        case route
        case path
        case global
        case host
        case method
        case header(String)
        case claim(String)
        case parameter(String)
        case json(JSONPointer, known: [String]? = nil, ignoresCase: Bool = false)
    }

    package let kind: Kind

    package init(_ kind: Kind) { self.kind = kind }

    /// The client, as the policy's client sources or the app identify it.
    public static let client = KeyDimension(.client)
    /// The client's address, with the policy's own length of IPv6 prefixes.
    public static let address = KeyDimension(.address(ipv6Prefix: nil))
    /// The client's address. The first `ipv6Prefix` bits of an IPv6 address count, 1 to 128.
    public static func address(ipv6Prefix: Int) -> KeyDimension { KeyDimension(.address(ipv6Prefix: ipv6Prefix)) }
    /// The path pattern that matched, or the route's template when the limit has no path.
    public static let route = KeyDimension(.route)
    /// The path, without the query.
    public static let path = KeyDimension(.path)
    /// One budget for all requests.
    public static let global = KeyDimension(.global)
    /// The host that the request names.
    public static let host = KeyDimension(.host)
    /// The method. HEAD counts as GET.
    public static let method = KeyDimension(.method)
    /// A header's value. A header that is absent, or there twice, counts as an empty value.
    public static func header(_ name: String) -> KeyDimension { KeyDimension(.header(name)) }
    /// A claim of a verified token.
    public static func claim(_ name: String) -> KeyDimension { KeyDimension(.claim(name)) }
    /// A parameter of the path pattern that matched, such as `id` in `/users/{id}`.
    public static func parameter(_ name: String) -> KeyDimension { KeyDimension(.parameter(name)) }

    /// A value in the request's JSON body.
    ///
    /// A value that is absent, unreadable, there twice or longer than 256 bytes counts as one shared value. So do all
    /// values that aren't `known`, unless that is nil. Equal numbers are equal values, as text too.
    ///
    /// - Parameters:
    ///   - pointer: where the value is.
    ///   - known: the values that get a budget of their own; nil for all.
    ///   - ignoresCase: whether values that differ only in the case of ASCII letters are one.
    public static func json(
        _ pointer: JSONPointer, known: [String]? = nil, ignoresCase: Bool = false
    ) -> KeyDimension {
        KeyDimension(.json(pointer, known: known, ignoresCase: ignoresCase))
    }

    /// Whether the value is in the request's body.
    package var isInBody: Bool { if case .json = kind { true } else { false } }

    var text: String {
        switch kind {
        case .client: "client"
        case .address(let prefix): "address/\(prefix.map(String.init) ?? "")"
        case .route: "route"
        case .path: "path"
        case .global: "global"
        case .host: "host"
        case .method: "method"
        case .header(let name): "header:\(name.lowercased())"
        case .claim(let name): "jwt:\(name)"
        case .parameter(let name): "param:\(name)"
        case .json(let pointer, _, let ignoresCase): "json:\(pointer)\(ignoresCase ? "/i" : "")"
        }
    }
}
