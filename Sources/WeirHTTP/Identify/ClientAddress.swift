/// Finds the client's address behind proxies.
struct ClientAddress {
    /// The trusted proxies.
    let trusted: [IPAddressRange]
    /// The header from which forwarded addresses are taken.
    let header: AddressHeader

    func isTrusted(_ address: IPAddress) -> Bool {
        trusted.contains { $0.contains(address) }
    }

    /// Finds the client's address.
    ///
    /// A peer that isn't a trusted proxy is the client. Otherwise the header is read from the right, because the
    /// nearest proxy wrote its last element. The first address that isn't a trusted proxy is the client. If an element
    /// isn't an address, or if all addresses are trusted, the client is the last address read.
    func client(of request: some LimitableRequest, peer: IPAddress) -> IPAddress {
        guard !trusted.isEmpty, isTrusted(peer) else { return peer }
        var lines: [String] = []
        request.forEachValue(of: header.name) { lines.append($0) }
        var last = peer
        // Empty elements count for nothing (RFC 9110, 5.6.1).
        for hop in hops(lines.joined(separator: ",")).reversed() where hop?.isEmpty != true {
            guard let hop, let address = IPAddress(forwarded: hop) else { return last }
            last = address
            if !isTrusted(address) { return address }
        }
        return last
    }

    /// The elements of the header, nearest hop last; nil for an element of Forwarded that names no address.
    private func hops(_ value: String) -> [String?] {
        guard !value.isEmpty else { return [] }
        switch header.kind {
        case .xForwardedFor:
            return value.split(separator: ",", omittingEmptySubsequences: false).map { $0.trimmingSpaces() }
        case .forwarded:
            return value.split(separator: ",", omittingEmptySubsequences: false).map {
                $0.trimmingSpaces().isEmpty ? "" : Self.forwardedFor($0)
            }
        }
    }

    /// Returns the node after `for=` in an element of Forwarded (RFC 7239, 5.2), without its quotes.
    ///
    /// Returns nil if the element has no node, several nodes or an open quote. The header is split at every comma, even
    /// inside quotes: a client must not be able to open a quote that swallows the elements that proxies append.
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
