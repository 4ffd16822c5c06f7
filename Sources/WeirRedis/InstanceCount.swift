import NIOCore

/// How many instances share the store, counted at every heartbeat, and whether they have all known each other long
/// enough.
struct InstanceCount {
    /// The most instances that are believed; a policy names no more either.
    static let most = 100_000

    /// The last count. It stays when the store is gone.
    private(set) var count = 1
    private var recent: [Int] = []
    /// The time of the first and of the last count since counting last failed.
    private var first: NIODeadline?
    private var last = NIODeadline.uptimeNanoseconds(0)

    mutating func counted(_ count: Int, at now: NIODeadline, heartbeat: TimeAmount) {
        // A server may answer anything.
        self.count = min(max(1, count), Self.most)
        // Nodes that connect at the same time also count at the same time. That is one count.
        if let latest = recent.last, now - last < heartbeat / 2 {
            recent[recent.count - 1] = max(latest, self.count)
        } else {
            recent.append(self.count)
            if recent.count > 3 { recent.removeFirst() }
        }
        first = first ?? now
        last = now
    }

    mutating func countFailed() {
        first = nil
    }

    /// How many instances a limit must be shared between; nil while some of them may not know all others.
    ///
    /// Others learn of a new instance within a heartbeat, so it waits for two. The largest recent count applies, so an
    /// instance that has fallen silent keeps its share for a while. So does one that was forgotten by a server that
    /// came back empty.
    func sharers(at now: NIODeadline, heartbeat: TimeAmount) -> Int? {
        guard let first, last - first >= heartbeat * 2 - heartbeat * 1 / 10, now - last < heartbeat * 2 else {
            return nil
        }
        return recent.max()
    }
}

private func / (amount: TimeAmount, divisor: Int64) -> TimeAmount { .nanoseconds(amount.nanoseconds / divisor) }
