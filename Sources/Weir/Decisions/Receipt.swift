/// Proof of one charge to a key, with which the charge can be given back once.
package struct Receipt: Sendable, Hashable {
    /// When the charge was made, by the store's clock.
    package let time: Timestamp
    /// The delay from `time` to a leaky bucket's slot, in microseconds; 0 for other algorithms.
    package let delay: Timestamp
    /// Distinguishes this charge from the key's others; above 0. The highest bit marks a charge to the budget that new
    /// keys share when the store is full.
    package let sequence: UInt64

    static let sharedBit: UInt64 = 1 << 63

    /// How long a charge can be refunded: an hour, in microseconds.
    package static let life: Timestamp = 3_600_000_000

    var isShared: Bool { sequence & Self.sharedBit != 0 }

    /// This receipt without the mark of the shared budget, as the charged state knows it.
    var withoutMark: Receipt { Receipt(time: time, delay: delay, sequence: sequence & ~Self.sharedBit) }

    /// Creates a receipt from its parts, such as those kept outside the process.
    package init(time: Timestamp, delay: Timestamp, sequence: UInt64) {
        self.time = time
        self.delay = delay
        self.sequence = sequence
    }
}
