/// The clock of a store on this machine. Injected, so that tests and replays control the time.
public protocol TickClock: Sendable {
    /// The current time, in microseconds since the Unix epoch.
    func now() -> Timestamp

    /// Waits for `ticks` microseconds.
    ///
    /// - Throws: `CancellationError` when the task is cancelled.
    func wait(_ ticks: Timestamp) async throws
}

extension TickClock {
    public func wait(_ ticks: Timestamp) async throws { try await Task.sleep(for: .microseconds(max(0, ticks))) }
}
