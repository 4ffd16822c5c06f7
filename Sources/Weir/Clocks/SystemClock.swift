#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// The system's wall clock.
public struct SystemClock: TickClock {
    /// Creates a clock that reads the system's real time.
    public init() {}

    public func now() -> Instant { Instant(microseconds: Self.microseconds) }

    static var microseconds: Timestamp { microseconds(of: CLOCK_REALTIME) }
    private static func microseconds(of clock: clockid_t) -> Timestamp {
        var time = timespec()
        clock_gettime(clock, &time)
        return Timestamp(time.tv_sec) &* 1_000_000 &+ Timestamp(time.tv_nsec) / 1000
    }
}
