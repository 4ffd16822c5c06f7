/// An instant: whole microseconds since the Unix epoch, from 0 to `Timestamp.latest`.
public typealias Timestamp = Int64

extension Timestamp {
    /// The last instant that stores accept: 2^53 − 1 microseconds, in the year 2255.
    ///
    /// Lua numbers are exact up to here, so every store can keep the same times.
    public static let latest: Timestamp = (1 << 53) - 1

    /// This instant, clamped to the range that stores accept.
    @inlinable
    package var clampedToRange: Timestamp {
        Swift.min(Swift.max(self, 0), .latest)
    }
}

/// A span of time in ticks. One tick is one microsecond in every store.
///
/// It is wider than 64 bits because a bucket of 10^9 tokens that gains one a year takes 3 × 10^22 microseconds to fill.
public typealias Ticks = Int128
