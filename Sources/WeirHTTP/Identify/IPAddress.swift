#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// An IPv4 or IPv6 address.
///
/// An IPv4 address mapped into IPv6 (`::ffff:192.0.2.1`) becomes the IPv4 address, so that each client has one form.
public struct IPAddress: Sendable, Hashable, CustomStringConvertible {
    /// The address as a number. An IPv4 address is in the lowest 32 bits.
    package let bits: UInt128
    /// Whether this is an IPv4 address, or was one mapped into IPv6.
    public let isIPv4: Bool

    /// Stands for a peer without an address, such as one at a Unix socket. It is `::`, which no peer can have.
    public static let unixSocket = IPAddress(bits: 0, isIPv4: false)

    package init(bits: UInt128, isIPv4: Bool) {
        if !isIPv4, bits >> 32 == 0xFFFF {
            self.bits = bits & 0xFFFF_FFFF
            self.isIPv4 = true
        } else {
            self.bits = bits
            self.isIPv4 = isIPv4
        }
    }

    /// Reads an address, such as `192.0.2.1` or `2001:db8::1`. Returns nil for anything else, such as an address with
    /// brackets, a port or a zone.
    public init?(_ text: some StringProtocol) {
        guard text.utf8.count <= 45, !text.utf8.contains(0) else { return nil }
        let text = String(text)
        if text.utf8.contains(UInt8(ascii: ":")) {
            var address = in6_addr()
            guard inet_pton(AF_INET6, text, &address) == 1 else { return nil }
            let bits = withUnsafeBytes(of: &address) { $0.reduce(UInt128(0)) { $0 << 8 | UInt128($1) } }
            self.init(bits: bits, isIPv4: false)
        } else {
            var address = in_addr()
            guard inet_pton(AF_INET, text, &address) == 1 else { return nil }
            self.init(bits: UInt128(UInt32(bigEndian: address.s_addr)), isIPv4: true)
        }
    }

    /// Reads an address as proxies write it, with optional brackets and an optional port.
    init?(forwarded text: some StringProtocol) {
        if let address = IPAddress(text) {
            self = address
            return
        }
        if text.hasPrefix("["), let close = text.firstIndex(of: "]") {
            let rest = text[text.index(after: close)...]
            guard rest.isEmpty || rest.hasPrefix(":") && rest.dropFirst().allSatisfy(\.isNumber) else { return nil }
            self.init(text[text.index(after: text.startIndex)..<close])
            return
        }
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 2, parts[1].allSatisfy(\.isNumber) else { return nil }
        self.init(parts[0])
    }

    /// Returns an IPv6 address with all but its first `ipv6Prefix` bits cleared. Returns an IPv4 address unchanged,
    /// because it stands for one client.
    ///
    /// - Parameter ipv6Prefix: the number of bits to keep, 0 to 128.
    public func masked(ipv6Prefix: Int) -> IPAddress {
        guard !isIPv4, ipv6Prefix < 128 else { return self }
        return IPAddress(bits: (bits >> UInt128(128 - ipv6Prefix)) << UInt128(128 - ipv6Prefix), isIPv4: false)
    }

    /// The address in its usual notation, such as `2001:db8::1`.
    public var description: String {
        var buffer = [CChar](repeating: 0, count: 46)
        if isIPv4 {
            var address = in_addr(s_addr: UInt32(truncatingIfNeeded: bits).bigEndian)
            inet_ntop(AF_INET, &address, &buffer, 46)
        } else {
            var address = in6_addr()
            withUnsafeMutableBytes(of: &address) { bytes in
                for index in 0..<16 { bytes[index] = UInt8(truncatingIfNeeded: bits >> UInt128(8 * (15 - index))) }
            }
            inet_ntop(AF_INET6, &address, &buffer, 46)
        }
        return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
