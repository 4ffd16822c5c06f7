/// A range of addresses, as in `10.0.0.0/8`; a single address is a range of one.
public struct AddressRange: Sendable, Hashable, CustomStringConvertible {
    private let first: UInt128
    private let shift: UInt128
    private let isIPv4: Bool
    public let description: String

    /// What an IPv6 client is masked to: a household has at least a /64.
    package static let defaultPrefix = 64

    public init?(_ text: String) {
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

    public func contains(_ address: IPAddress) -> Bool {
        address.isIPv4 == isIPv4 && (shift >= 128 || address.bits >> shift == first)
    }
}
