/// Proof of one charge to a key, by which it can be given back once.
public struct Receipt: Sendable, Hashable {
    /// When the charge was made, by the store's clock.
    public let time: Timestamp
    /// A leaky bucket's slot is this long after `time`, in microseconds.
    public let delay: Timestamp
    /// Tells this charge from the key's others; above 0. The highest bit says that it was made on the budget that
    /// newcomers share when the store is full.
    public let sequence: UInt64

    static let sharedBit: UInt64 = 1 << 63

    var isShared: Bool { sequence & Self.sharedBit != 0 }

    /// The receipt as the state that it was charged to knows it.
    var withoutMark: Receipt { Receipt(time: time, delay: delay, sequence: sequence & ~Self.sharedBit) }

    public init(time: Timestamp, delay: Timestamp, sequence: UInt64) {
        self.time = time
        self.delay = delay
        self.sequence = sequence
    }
}
