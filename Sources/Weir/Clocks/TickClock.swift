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
