/// A range of addresses, such as `10.0.0.0/8`. A single address is a range of one.
public struct IPAddressRange: Sendable, Hashable, CustomStringConvertible {
    /// The bits that all addresses of the range share.
    private let first: UInt128
    /// The number of bits in which the addresses differ.
    private let shift: UInt128
    private let isIPv4: Bool
    /// The range as it was written.
    public let description: String

    /// The prefix that identifies an IPv6 client. A household has at least a /64, so a longer prefix would let one
    /// client have many budgets.
    package static let defaultPrefix = 64

    /// Reads a range: an address, an address and a prefix length, or `unix` for whoever connects through a Unix
    /// socket. Returns nil for anything else.
    public init?(_ text: String) {
        if text == "unix" {
            first = IPAddress.unixSocket.bits
            shift = 0
            isIPv4 = false
            description = text
            return
        }
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard (1...2).contains(parts.count), let address = IPAddress(parts[0]) else { return nil }
        let width = address.isIPv4 ? 32 : 128
        var length = width
        if parts.count == 2 {
            guard let number = Int(parts[1]), (0...width).contains(number), parts[1].allSatisfy(\.isNumber) else {
                return nil
            }
            length = number
        }
        isIPv4 = address.isIPv4
        shift = UInt128(width - length)
        first = shift >= 128 ? 0 : address.bits >> shift
        description = text
    }

    /// Whether the range contains an address. A range of IPv6 addresses contains no IPv4 address, and vice versa.
    public func contains(_ address: IPAddress) -> Bool {
        address.isIPv4 == isIPv4 && (shift >= 128 || address.bits >> shift == first)
    }
}
