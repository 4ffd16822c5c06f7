/// The server that requests are forwarded to: `http://host:port`, optionally with a base path.
package struct Upstream: Sendable, Hashable {
    /// The host's name or address.
    package let host: String
    /// The port; 80 by default.
    package let port: Int
    /// The base path, such as `/base`, without a slash at its end; empty when there is none.
    package let basePath: String
    /// The authority as written, for the Host header.
    package let authority: String

    /// Reads a URL. Nil unless it is `http://` with a host and, optionally, a port and a path.
    package init?(_ url: String) {
        guard url.hasPrefix("http://") else { return nil }
        let rest = url.dropFirst("http://".count)
        let authority = rest.prefix { $0 != "/" }
        guard let socket = SocketText(String(authority), defaultPort: 80) else { return nil }
        let path = rest.dropFirst(authority.count)
        guard path.allSatisfy({ $0.isASCII && !$0.isWhitespace && $0 != "?" && $0 != "#" }) else { return nil }
        host = socket.host
        port = socket.port
        basePath = path.hasSuffix("/") ? String(path.dropLast()) : String(path)
        self.authority = String(authority)
    }
}
