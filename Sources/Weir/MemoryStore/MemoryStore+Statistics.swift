import Synchronization

extension MemoryStore {
    /// The store's numbers, as of now. Each is right, but other threads may write between reading one and the next.
    public struct Statistics: Sendable, Hashable {
        /// Keys held now.
        public var keys: Int
        /// Keys dropped since the start because they had recovered.
        public var dropped: UInt64
        /// Decisions since the start that used a limit's shared budget because the store had no room for the key.
        public var sharedBudgetDecisions: UInt64
    }

    /// The store's numbers, as of now.
    public var statistics: Statistics {
        Statistics(
            keys: counters.held.load(ordering: .relaxed),
            dropped: counters.dropped.load(ordering: .relaxed),
            sharedBudgetDecisions: counters.shared.load(ordering: .relaxed)
        )
    }

    public var report: StoreReport {
        let statistics = statistics
        return StoreReport(
            memory: StoreReport.Memory(
                keys: statistics.keys, dropped: statistics.dropped,
                sharedBudgetDecisions: statistics.sharedBudgetDecisions))
    }

    /// The memory of all tables, in bytes.
    public var memoryUsage: Int {
        var sum = segments.bytes
        for index in 0..<segments.count {
            segments.lock(of: segments[index]).pointee.lock()
            sum += segments[index].pointee.table.bytes
            segments.lock(of: segments[index]).pointee.unlock()
        }
        return sum
    }
}
