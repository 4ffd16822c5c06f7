/// One part of a limit's key. Each different key has a budget of its own.
public enum KeyDimension: Sendable, Hashable {
    case client
    /// The client's address, with the length of its IPv6 prefix; nil for the policy's own prefix.
    case address(ipv6Prefix: Int?)
    /// The path pattern that matched, or the route's template when the limit has no path.
    case route
    case path
    case global
    case host
    case method
    case header(String)
    case claim(String)
    case parameter(String)
    /// A value in the request's JSON body.
    ///
    /// A value that is absent, unreadable, there twice or longer than 256 bytes counts as one shared value. So do all
    /// values that aren't `known`, unless that is nil. Equal numbers are equal values, as text too.
    case json(JSONPointer, known: [String]? = nil, ignoresCase: Bool = false)

    /// Whether the value is in the request's body.
    package var isInBody: Bool { if case .json = self { true } else { false } }

    var text: String {
        switch self {
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
