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
            return Self.split(value, at: ",").map { element in
                // RFC 7239: `for` may be an address, a quoted one in brackets, `unknown` or an obfuscated name.
                for pair in Self.split(element, at: ";") {
                    let parts = pair.split(separator: "=", maxSplits: 1)
                    guard parts.count == 2, parts[0].trimmingSpaces().lowercased() == "for" else { continue }
                    let node = parts[1].trimmingSpaces()
                    return node.hasPrefix("\"") && node.hasSuffix("\"") && node.count > 1
                        ? String(node.dropFirst().dropLast()) : node
                }
                return nil
            }
        }
    }

    /// Splits at a separator outside quotes.
    private static func split(_ value: String, at separator: Character) -> [String] {
        var parts = [""]
        var isQuoted = false
        var isEscaped = false
        for character in value {
            if character == separator, !isQuoted {
                parts.append("")
                continue
            }
            if character == "\"", !isEscaped { isQuoted.toggle() }
            isEscaped = character == "\\" && !isEscaped
            parts[parts.count - 1].append(character)
        }
        return parts
    }
}
