/// Finds the client's address behind proxies.
struct ClientAddress {
    let trusted: [AddressRange]
    let header: AddressHeader

    func isTrusted(_ address: IPAddress) -> Bool {
        trusted.contains { $0.contains(address) }
    }

    /// The client's address.
    ///
    /// A peer that isn't a trusted proxy is the client. Else all lines of the one header are walked from the right,
    /// which the nearest proxy wrote: the first address that isn't a trusted proxy is the client. The walk ends at
    /// what is no address; then, or when every hop is trusted, the last address seen is the client.
    func client(of request: some LimitableRequest, peer: IPAddress) -> IPAddress {
        guard !trusted.isEmpty, isTrusted(peer) else { return peer }
        var lines: [String] = []
        request.forEachValue(of: header.rawValue) { lines.append($0) }
        var last = peer
        for hop in hops(lines.joined(separator: ",")).reversed() {
            guard let hop, let address = IPAddress(forwarded: hop) else { return last }
            last = address
            if !isTrusted(address) { return address }
        }
        return last
    }

    /// The hops, nearest last; nil for one that names no address.
    private func hops(_ value: String) -> [String?] {
        guard !value.isEmpty else { return [] }
        switch header {
        case .xForwardedFor:
            return value.split(separator: ",", omittingEmptySubsequences: false).map { $0.trimmingSpaces() }
        case .forwarded:
            return value.split(separator: ",", omittingEmptySubsequences: false).map { Self.forwardedFor($0) }
        }
    }

    /// The node that an element of Forwarded names with `for=` (RFC 7239): an address, or a quoted one in brackets.
    /// Nil for `unknown` and obfuscated names, which are no address, and for an element with an open quote or two
    /// nodes. Commas inside quotes are not honoured: the client's part of the line must not be able to open a quote
    /// that swallows what a proxy appended.
    private static func forwardedFor(_ element: Substring) -> String? {
        guard element.utf8.reduce(0, { $0 + ($1 == UInt8(ascii: "\"") ? 1 : 0) }).isMultiple(of: 2) else { return nil }
        var found: String?
        for pair in element.split(separator: ";") {
            let parts = pair.split(separator: "=", maxSplits: 1)
            guard parts.count == 2, parts[0].trimmingSpaces().lowercased() == "for" else { continue }
            if found != nil { return nil }
            let node = parts[1].trimmingSpaces()
            found = node.hasPrefix("\"") && node.hasSuffix("\"") ? String(node.dropFirst().dropLast()) : node
        }
        return found
    }
}
