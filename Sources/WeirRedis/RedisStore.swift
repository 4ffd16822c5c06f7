public import Logging
public import NIOCore
public import NIOPosix
public import ServiceLifecycle
public import Weir

/// A store that keeps counters in Redis (6.2 or later) or Valkey (7.2 or later), for any number of instances.
///
/// The server may be a single one, behind Sentinel, or a cluster. One script call decides all charges of a request, on
/// the server's clock, and concurrent requests share a call. A decision has a deadline. When it passes, the request
/// fails with a `StoreError` (the policy's `on_store_failure` then decides), and a charge that shows up later is
/// given back. An operation is only sent again if the server proved that it did not execute it. Nothing is queued for a
/// server that is not connected.
public final class RedisStore: Store, Service {
    /// Counts since the store was made, and its present state, for metrics.
    public struct Statistics: Sendable, Hashable {
        /// Requests that remembered denials answered.
        public var answeredLocally: UInt64
        /// Charges of leased limits that borrowed units paid for.
        public var leased: UInt64
        /// Charges that showed up after their deadline and were given back.
        public var lateCharges: UInt64
        /// How many instances share the store, 1 or more.
        public var instances: Int
        /// Whether the store answered the last heartbeat.
        public var isAvailable: Bool
        /// Whether this instance may borrow units of leased limits: all instances have known each other for two
        /// heartbeats.
        public var canBorrow: Bool
    }

    let client: StoreClient

    /// Creates a store. It connects when it is run.
    ///
    /// - Parameters:
    ///   - configuration: where the servers are, and how the store behaves.
    ///   - eventLoopGroup: the event loops to use; by default the one that the process shares.
    ///   - logger: gets a message when the store becomes unavailable, and when it answers again.
    /// - Throws: `StoreError` when TLS can't be set up.
    public init(
        _ configuration: RedisConfiguration,
        eventLoopGroup: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton,
        logger: Logger = Logger(label: "weir.store")
    ) throws(StoreError) {
        client = try StoreClient(configuration, group: eventLoopGroup, logger: logger)
    }

    deinit { client.close() }

    /// Connects, and stays connected until the service group shuts down or the task is cancelled. Then it tells the
    /// other instances that this one leaves, and closes all connections; requests that wait fail.
    ///
    /// Put the store in front of the app in a service group, so that it outlives the app's last requests. Requests that
    /// come before it runs fail, and the policy's `on_store_failure` decides them.
    public func run() async throws {
        start()
        try? await gracefulShutdown()
        await client.leave()
    }

    /// Starts to connect, if it hasn't.
    package func start() { client.start() }

    /// Closes all connections. Requests that wait fail.
    package func close() { client.close() }

    /// Where the servers are, and how the store behaves.
    public var configuration: RedisConfiguration { client.options }

    /// Hashes keys with the secret that all instances share. Until that is known, with a random one.
    public var keyHasher: KeyHasher { client.keyHasher }

    /// How many instances shared the store at the last count, 1 or more.
    public var instances: Int { client.instances }

    /// Counts since the store was made, and its present state.
    public var statistics: Statistics { client.statistics }

    /// Waits until the store answers, while ``run()`` runs.
    ///
    /// - Parameter timeout: how long to wait.
    /// - Throws: the reason why the store does not answer. Its message contains no password.
    public func waitUntilReady(timeout: Duration) async throws(StoreError) {
        try await client.waitUntilReady(timeout: Timestamp(clamping: timeout.ticks))
    }

    /// Calls `body` when the keys' secret becomes known or changes. Keys made before that are invalid; callers that
    /// prepared keys must make them again.
    public func onKeySecretChange(_ body: @escaping @Sendable () -> Void) { client.onKeySecretChange(body) }

    /// Forgets remembered denials and gives back borrowed units, because limits have changed.
    public func limitsDidChange() { client.limitsDidChange() }

    /// Decides all charges of one request together.
    ///
    /// - Parameters:
    ///   - charges: one for each limit, or for each of its windows.
    ///   - decisions: gets the decisions if they are made at once.
    /// - Returns: nil if the decisions are made already. Otherwise they follow within the deadline, or a
    ///   `StoreError` does.
    public func decide(_ charges: [Charge], into decisions: inout [Decision]) -> PendingAnswer<DecisionResult>? {
        client.decide(charges, into: &decisions)
    }

    /// Decides by remembered denials alone; the server isn't asked.
    public func peek(_ charges: [Charge], into decisions: inout [Decision]) -> Bool {
        client.peek(charges, into: &decisions)
    }

    /// Refunds, debits or resets. The answer tells whether anything changed.
    public func apply(_ adjustment: Adjustment) -> StoreAnswer<Bool> { client.apply(adjustment) }
}
