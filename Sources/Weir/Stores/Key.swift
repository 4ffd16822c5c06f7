/// Whose budget is spent: a keyed hash of a limit's identity and the values of its key's dimensions.
///
/// No store sees the values themselves.
public struct Key: Sendable, Hashable {
    /// The upper 64 of the 128 bits that name the state. In a process's own keys it is the limit's seed,
    /// by which a full table finds the budget that the limit's newcomers share; in keys that are shared it is a hash.
    public let high: UInt64
    /// The lower 64 bits.
    public let low: UInt64
    /// A hash of the first dimension alone, so that one client's limits can share a cluster slot.
    public let partition: UInt64

    public init(high: UInt64, low: UInt64, partition: UInt64) {
        self.high = high
        self.low = low
        self.partition = partition
    }

    /// The lower bits alone: they are a hash with a secret already.
    public func hash(into hasher: inout Hasher) { hasher.combine(low) }

    /// What dictionaries and sets ask for. To hash what is a hash already takes them a fifth of a leased decision; each table
    /// has a seed of its own, so that keys moved from one to another don't come in the order of their places.
    public func _rawHashValue(seed: Int) -> Int {
        let product = low.multipliedFullWidth(by: UInt64(truncatingIfNeeded: seed) | 1)
        return Int(truncatingIfNeeded: product.high ^ product.low)
    }
}
