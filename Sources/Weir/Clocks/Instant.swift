/// A point in time: whole microseconds since the Unix epoch, until the year 2255.
public struct Instant: Sendable, Hashable, InstantProtocol {
    package let microseconds: Timestamp

    /// The last instant that stores accept: 2^53 − 1 microseconds after the Unix epoch.
    ///
    /// Lua numbers are exact up to here, so every store can keep the same times.
    public static let max = Instant(microseconds: (1 << 53) - 1)

    /// The instant that lies `time` after the Unix epoch, rounded down to a microsecond. Times out of range become the
    /// epoch or ``max``.
    public init(sinceEpoch time: Duration) {
        self.init(microseconds: Self.clamp(Timestamp(clamping: time.ticks)))
    }

    package init(microseconds: Timestamp) { self.microseconds = microseconds }

    /// The time since the Unix epoch.
    public var sinceEpoch: Duration { Duration(ticks: Ticks(microseconds)) }

    public func advanced(by time: Duration) -> Instant {
        Instant(microseconds: Self.clamp(Timestamp(clamping: Ticks(microseconds) + time.ticks)))
    }

    public func duration(to other: Instant) -> Duration { other.sinceEpoch - sinceEpoch }

    public static func < (left: Instant, right: Instant) -> Bool { left.microseconds < right.microseconds }

    /// A time, clamped to the range that stores accept.
    @inline(__always)
    package static func clamp(_ time: Timestamp) -> Timestamp { Swift.min(Swift.max(time, 0), max.microseconds) }
}

/// An instant as the algorithms and stores calculate with it: microseconds since the Unix epoch.
package typealias Timestamp = Int64

/// A span of time as the algorithms and stores calculate with it, in ticks of one microsecond.
///
/// A bucket of 10^9 tokens that gains one a year takes 3 × 10^22 microseconds to fill, so 64 bits would be too few.
package typealias Ticks = Int128

extension Duration {
    /// A span of at most 2^63 seconds.
    package init(ticks: Ticks) {
        let (seconds, rest) = ticks.quotientAndRemainder(dividingBy: 1_000_000)
        self.init(
            secondsComponent: Int64(clamping: seconds),
            attosecondsComponent: Int64(truncatingIfNeeded: rest) &* 1_000_000_000_000)
    }

    /// The span in microseconds, rounded down.
    package var ticks: Ticks {
        let (seconds, attoseconds) = components
        let (rest, fraction) = attoseconds.quotientAndRemainder(dividingBy: 1_000_000_000_000)
        return Ticks(seconds) * 1_000_000 + Ticks(rest) - (fraction < 0 ? 1 : 0)
    }

    /// The span in microseconds, rounded up.
    package var ticksRoundedUp: Ticks {
        let (_, attoseconds) = components
        return ticks + (attoseconds % 1_000_000_000_000 == 0 ? 0 : 1)
    }
}
