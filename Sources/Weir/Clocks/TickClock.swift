/// The clock of a store on this machine. Injected, so that tests and replays control the time.
public protocol TickClock: Sendable {
    /// The current time.
    func now() -> Instant

    /// Sleeps for a span of time.
    ///
    /// - Throws: `CancellationError` when the task is cancelled.
    func sleep(for time: Duration) async throws
}

extension TickClock {
    public func sleep(for time: Duration) async throws { try await Task.sleep(for: time) }

    /// The current time, in microseconds since the Unix epoch.
    package var timestamp: Timestamp { now().microseconds }

    /// Sleeps for `ticks` microseconds; not at all if there are none.
    package func sleep(ticks: Timestamp) async throws { try await sleep(for: .microseconds(max(0, ticks))) }
}
