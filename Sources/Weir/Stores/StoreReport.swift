/// A store's numbers about itself, for metrics and dashboards.
///
/// A store fills in the groups that apply to it: ``memory`` for a store in this process, ``shared`` for a store on a
/// server.
public struct StoreReport: Sendable, Hashable {
    /// The numbers of a store in this process's memory; nil for any other.
    public var memory: Memory?
    /// The numbers of a store that instances share; nil for any other.
    public var shared: Shared?

    /// Creates a report; an empty one by default.
    public init(memory: Memory? = nil, shared: Shared? = nil) {
        self.memory = memory
        self.shared = shared
    }

    /// The numbers of a store in memory.
    public struct Memory: Sendable, Hashable {
        /// Keys held now.
        public var keys: Int
        /// Keys dropped since the start because they had recovered.
        public var dropped: UInt64
        /// Decisions since the start that used a limit's shared budget because the store had no room for the key.
        public var sharedBudgetDecisions: UInt64

        /// Creates the group from its numbers.
        public init(keys: Int, dropped: UInt64, sharedBudgetDecisions: UInt64) {
            self.keys = keys
            self.dropped = dropped
            self.sharedBudgetDecisions = sharedBudgetDecisions
        }
    }

    /// The numbers of a store that instances share.
    public struct Shared: Sendable, Hashable {
        /// Whether the store answers, as far as this instance knows.
        public var isAvailable: Bool
        /// The number of instances that share the store; at least 1.
        public var instances: Int
        /// Requests since the start that this instance denied from memory, without asking the store.
        public var answeredLocally: UInt64
        /// Charges since the start that were decided by prefetched units.
        public var leased: UInt64
        /// Charges since the start that the store made after their deadline and that were given back.
        public var lateCharges: UInt64

        /// Creates the group from its numbers.
        public init(isAvailable: Bool, instances: Int, answeredLocally: UInt64, leased: UInt64, lateCharges: UInt64) {
            self.isAvailable = isAvailable
            self.instances = instances
            self.answeredLocally = answeredLocally
            self.leased = leased
            self.lateCharges = lateCharges
        }
    }
}
