import NIOCore

/// How many instances share the store: counted at every heartbeat, and known to all others for long enough or not.
struct InstanceCount {
    /// The most instances that are believed; a policy names no more either.
    static let most = 100_000

    /// At the last count; it stays when the store is gone.
    private(set) var count = 1
    private var recent: [Int] = []
    /// The first and the last of the counts in a row.
    private var first: NIODeadline?
    private var last = NIODeadline.uptimeNanoseconds(0)

    mutating func counted(_ count: Int, at now: NIODeadline, heartbeat: TimeAmount) {
        // A server may answer anything.
        self.count = min(max(1, count), Self.most)
        // Nodes that connect at the same time count at the same time: that is one count.
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

    /// By how many instances a limit may be shared out; nil while it isn't sure that each of them knows all others.
    ///
    /// Others learn of a new instance within a heartbeat, so it waits for two. An instance that fell silent is shared
    /// with for some time yet, and so is one that a server which came back empty has forgotten.
    func sharers(at now: NIODeadline, heartbeat: TimeAmount) -> Int? {
        guard let first, last - first >= heartbeat * 2 - heartbeat * 1 / 10, now - last < heartbeat * 2 else {
            return nil
        }
        return recent.max()
    }
}

private func / (amount: TimeAmount, divisor: Int64) -> TimeAmount { .nanoseconds(amount.nanoseconds / divisor) }
