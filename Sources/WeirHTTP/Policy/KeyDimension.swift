/// One part of what a budget is kept for.
public enum KeyDimension: Sendable, Hashable {
    case client
    /// The client's address; nil for the policy's own prefix.
    case address(ipv6Prefix: Int?)
    /// The path pattern that matched.
    case route
    case path
    case global
    case host
    case method
    case header(String)
    case claim(String)
    case parameter(String)

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
        }
    }
}
