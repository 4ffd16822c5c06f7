public import Weir

extension RedisStore {
    public var report: StoreReport {
        let statistics = statistics
        return StoreReport(
            shared: StoreReport.Shared(
                isAvailable: statistics.isAvailable, instances: statistics.instances,
                answeredLocally: statistics.answeredLocally,
                leased: statistics.leased, lateCharges: statistics.lateCharges))
    }

    /// The store looks clients up in the operator's own hashes.
    public var clientDirectory: (any ClientDirectory)? { self }
}
