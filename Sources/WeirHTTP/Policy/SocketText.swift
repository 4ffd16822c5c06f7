/// An address and a port, as in `127.0.0.1:8080` or `[::1]:8080`.
package struct SocketText: Sendable, Hashable {
    /// The address or host name, without brackets.
    package let host: String
    /// The port, 0 to 65535.
    package let port: Int

    /// Reads an address and a port. Nil when the text is malformed, or has no port and there is no default.
    package init?(_ text: String, defaultPort: Int? = nil) {
        if text.hasPrefix("[") {
            guard let close = text.firstIndex(of: "]") else { return nil }
            host = String(text[text.index(after: text.startIndex)..<close])
            let rest = text[text.index(after: close)...]
            if rest.isEmpty, let defaultPort {
                port = defaultPort
            } else {
                guard rest.hasPrefix(":"), let number = Self.port(rest.dropFirst()) else { return nil }
                port = number
            }
        } else {
            let parts = text.split(separator: ":", omittingEmptySubsequences: false)
            guard let first = parts.first, !first.isEmpty else { return nil }
            host = String(first)
            if parts.count == 1, let defaultPort {
                port = defaultPort
            } else {
                guard parts.count == 2, let number = Self.port(parts[1]) else { return nil }
                port = number
            }
        }
        guard !host.isEmpty, host.allSatisfy({ !$0.isWhitespace && $0 != "/" && $0 != "@" }) else { return nil }
    }

    private static func port(_ text: Substring) -> Int? {
        guard let number = Int(text), (0...65535).contains(number), text.allSatisfy(\.isNumber) else { return nil }
        return number
    }
}
