/// Identifies a budget: a keyed hash of a limit's identity and the values of its key's dimensions.
///
/// Stores never see the values themselves.
public struct Key: Sendable, Hashable {
    /// The upper 64 of the key's 128 bits. In keys of one process, this is the limit's seed, by which a full store
    /// finds the budget that the limit's new keys share. In shared keys, it is a hash.
    public let high: UInt64
    /// The lower 64 of the key's 128 bits.
    public let low: UInt64
    /// A hash of the first dimension alone, so that one client's limits can share a cluster slot.
    public let partition: UInt64

    /// Creates a key from its parts.
    public init(high: UInt64, low: UInt64, partition: UInt64) {
        self.high = high
        self.low = low
        self.partition = partition
    }

    /// Hashes the lower bits alone: they already are a hash with a secret.
    public func hash(into hasher: inout Hasher) { hasher.combine(low) }

    /// Dictionaries and sets call this. Hashing the hash again would take a fifth of a leased decision. The table's
    /// seed is mixed in so that keys copied from one table to another don't arrive in slot order.
    public func _rawHashValue(seed: Int) -> Int {
        let product = low.multipliedFullWidth(by: UInt64(truncatingIfNeeded: seed) | 1)
        return Int(truncatingIfNeeded: product.high ^ product.low)
    }
}
