#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// An instant: whole microseconds since the Unix epoch, 0 to `Timestamp.latest`.
public typealias Timestamp = Int64

/// A span of time in ticks. One tick is one microsecond, in every store.
///
/// It is wider than 64 bits because a bucket of 10^9 that refills once a year
/// is full again only after 3 × 10^22 microseconds.
public typealias Ticks = Int128

extension Timestamp {
    /// The last instant that a store accepts: 2^53 − 1 microseconds, in the year 2255.
    ///
    /// Up to here a Lua number is exact too, so every store can keep the same times.
    public static let latest: Timestamp = (1 << 53) - 1

    /// This instant, moved into the range that stores accept.
    @inlinable
    package var clampedToRange: Timestamp {
        Swift.min(Swift.max(self, 0), .latest)
    }
}

/// Where a store on this machine takes its time from. Injected, so that tests and replays choose it.
public protocol TickClock: Sendable {
    /// The present, in microseconds since the Unix epoch.
    func now() -> Timestamp

    /// Waits until so many microseconds have passed.
    ///
    /// - Throws: `CancellationError` when the task is cancelled.
    func wait(_ ticks: Timestamp) async throws
}

extension TickClock {
    public func wait(_ ticks: Timestamp) async throws { try await Task.sleep(for: .microseconds(max(0, ticks))) }
}

/// The system's wall clock.
public struct SystemClock: TickClock {
    public init() {}

    public func now() -> Timestamp {
        Self.microseconds(of: CLOCK_REALTIME)
    }

    static func microseconds(of clock: clockid_t) -> Timestamp {
        var time = timespec()
        clock_gettime(clock, &time)
        return Timestamp(time.tv_sec) &* 1_000_000 &+ Timestamp(time.tv_nsec) / 1000
    }
}
