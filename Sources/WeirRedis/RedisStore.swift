public import Logging
public import NIOCore
public import NIOPosix
public import Weir

/// Counters in Redis (6.2 or later) or Valkey, shared by any number of instances: on one server, behind Sentinel, or in a
/// cluster.
///
/// Each request is decided by one script call, on the server's clock; what is asked at the same time shares a call. A
/// decision has a deadline; after it the request is failed (and the policy's `on_store_failure` decides), and a charge that
/// shows later is given back. Nothing is asked twice unless the server proved that it did not do it, and nothing is queued
/// for a server that isn't there.
public final class RedisStore: Store {
    /// How the store behaves. Times are microseconds.
    public struct Options: Sendable {
        /// How long a decision may take, everything included.
        public var deadline: Timestamp = 50_000
        /// The most operations that may wait for one server.
        public var mostWaiting = 10_000
        /// What all keys on the server begin with.
        public var prefix = "weir:"
        /// A secret of at least 16 characters that all instances share, by which keys are hashed. Nil for one that the
        /// first instance puts into the store.
        public var keySecret: String?
        /// Whether denials are remembered for up to a second, so that who goes on asking costs the server nothing.
        public var remembersDenials = true
        /// How long a permit is held without being renewed; it is renewed at a third of it.
        public var lease: Timestamp = 30_000_000
        /// How often instances are counted.
        package var heartbeat: Timestamp = 5_000_000
        /// Milliseconds that keys outlive their use.
        package var slack: Int64 = 1000
        /// Decides at this clock's times, not the server's. For tests.
        package var clock: (any TickClock)?

        public init() {}
    }

    /// What the store has done, for metrics.
    public struct Statistics: Sendable, Hashable {
        /// Requests answered from the memory of denials.
        public var answeredLocally: UInt64
        /// Charges of leased limits that were decided by borrowed units.
        public var leased: UInt64
        /// Charges that showed after their deadline and were given back.
        public var lateCharges: UInt64
        /// How many instances share the store.
        public var instances: Int
        /// Whether the store answers, as far as is known.
        public var isUp: Bool
        /// Whether units of leased limits may be borrowed: all instances have known each other for a while.
        public var canBorrow: Bool
    }

    let client: StoreClient

    /// Makes a store and begins to connect.
    ///
    /// - Parameters:
    ///   - address: where it lies.
    ///   - group: whose event loops it uses; one of all processes' unless given.
    /// - Throws: ``StoreFailure`` when TLS can't be set up.
    public init(
        _ address: RedisAddress, options: Options = Options(),
        group: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton,
        logger: Logger = Logger(label: "weir.store")
    ) throws(StoreFailure) {
        client = try StoreClient(address, options: options, group: group, logger: logger)
    }

    deinit { client.close() }

    /// Stops. What waits is failed.
    public func close() { client.close() }

    public var address: RedisAddress { client.address }

    public var keyHasher: KeyHasher { client.keyHasher }

    public var instances: Int { client.instances }

    public var statistics: Statistics { client.statistics }

    /// Waits until the store answers.
    ///
    /// - Parameter timeout: microseconds.
    /// - Throws: why it does not. The message holds no password.
    public func waitUntilReady(timeout: Timestamp) async throws(StoreFailure) {
        try await client.waitUntilReady(timeout: timeout)
    }

    /// Calls `body` when the keys' secret becomes known, or is another: keys made before are worth nothing then, and
    /// whoever made some ready must do so again.
    public func onKeyChange(_ body: @escaping @Sendable () -> Void) { client.onKeyChange(body) }

    public func limitsDidChange() { client.limitsDidChange() }

    public func decide(_ charges: [Charge], into decisions: inout [Decision]) -> PendingAnswer<DecisionResult>? {
        client.decide(charges, into: &decisions)
    }

    public func apply(_ adjustment: Adjustment) -> StoreAnswer<Bool> { client.apply(adjustment) }
}
