/// An address that a server listens on.
///
/// It is written as `127.0.0.1:8080`, `[::1]:8080`, `localhost:8080` (every address of that name), `*:8080` (all
/// interfaces) or `unix:/run/weir.sock`. `http://` or `https://` in front says whether clients speak TLS there; without
/// either they do if the policy has certificates. A Unix socket never speaks TLS.
package struct ListenAddress: Sendable, Hashable, CustomStringConvertible {
    package enum Place: Sendable, Hashable {
        case host(SocketText)
        case allInterfaces(port: Int)
        case unixSocket(path: String)
    }

    package let place: Place
    private let isSecure: Bool?
    /// The address as it was written.
    package let description: String

    /// The longest path of a Unix socket, in bytes; the system's limit.
    static let longestPath = 107

    /// Reads an address. Nil if it is malformed.
    package init?(_ text: String) {
        description = text
        var rest = Substring(text)
        var isSecure: Bool?
        for (scheme, secures) in [("http://", false), ("https://", true)] where text.hasPrefix(scheme) {
            rest = rest.dropFirst(scheme.count)
            isSecure = secures
        }
        self.isSecure = isSecure
        if rest.hasPrefix("unix:") {
            let path = String(rest.dropFirst("unix:".count))
            guard isSecure == nil, path.hasPrefix("/"), path.utf8.count <= Self.longestPath, !path.utf8.contains(0)
            else { return nil }
            place = .unixSocket(path: path)
        } else {
            guard let socket = SocketText(String(rest)) else { return nil }
            place = socket.host == "*" ? .allInterfaces(port: socket.port) : .host(socket)
        }
    }

    /// Whether this is a Unix socket.
    package var isUnixSocket: Bool {
        if case .unixSocket = place { true } else { false }
    }

    /// Whether the address can't do without certificates.
    package var needsCertificate: Bool { isSecure == true }

    /// Whether clients speak TLS here.
    ///
    /// - Parameter hasCertificates: whether the server has certificates.
    package func speaksTLS(hasCertificates: Bool) -> Bool {
        if isUnixSocket { return false }
        return isSecure ?? hasCertificates
    }

    /// The words for messages about a malformed address.
    package static let expectation =
        "an address and a port such as 127.0.0.1:8080 or \"*:8080\", or unix: and a path such as unix:/run/weir.sock"
}
