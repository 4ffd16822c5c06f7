public import Logging
public import NIOCore
public import NIOPosix
public import Weir

/// A store that keeps counters in Redis (6.2 or later) or Valkey (7.2 or later), for any number of instances.
///
/// The server may be a single one, behind Sentinel, or a cluster. One script call decides all charges of a request, on
/// the server's clock, and concurrent requests share a call. A decision has a deadline. When it passes, the request
/// fails with a ``StoreError`` (the policy's `on_store_failure` then decides), and a charge that shows up later is
/// given back. An operation is only sent again if the server proved that it did not execute it. Nothing is queued for a
/// server that is not connected.
public final class RedisStore: Store {
    /// How the store behaves. Times are in microseconds.
    public struct Options: Sendable {
        /// How long a decision may take, all waiting included. 50,000 µs by default.
        public var deadline: Timestamp = 50_000
        /// The most charges that may wait for one server or be under way on it. Further requests fail as overloaded.
        public var mostWaiting = 10_000
        /// The prefix of all keys on the server.
        public var prefix = "weir:"
        /// The secret that keys are hashed with: at least 16 characters, the same for all instances. If nil, the first
        /// instance generates one and puts it into the store.
        public var keySecret: String?
        /// Whether denials are remembered for up to a second, so that a client that keeps asking costs the server
        /// nothing.
        public var remembersDenials = true
        /// How long a concurrency permit is held if nobody renews it, in microseconds. The store renews it at a third
        /// of that.
        public var lease: Timestamp = 30_000_000
        /// How often instances are counted, in microseconds.
        package var heartbeat: Timestamp = 5_000_000
        /// How long keys outlive their use, in milliseconds.
        package var slack: Int64 = 1000
        /// The clock to decide by, for tests. Nil for the server's.
        package var clock: (any TickClock)?

        public init() {}
    }

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
        public var isUp: Bool
        /// Whether this instance may borrow units of leased limits: all instances have known each other for two
        /// heartbeats.
        public var canBorrow: Bool
    }

    let client: StoreClient

    /// Makes a store and starts to connect.
    ///
    /// - Parameters:
    ///   - address: where the servers are.
    ///   - options: how the store behaves.
    ///   - group: the event loops to use; by default the one that the process shares.
    ///   - logger: gets a message when the store becomes unavailable, and when it answers again.
    /// - Throws: ``StoreError`` when TLS can't be set up.
    public init(
        _ address: RedisAddress, options: Options = Options(),
        group: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton,
        logger: Logger = Logger(label: "weir.store")
    ) throws(StoreError) {
        client = try StoreClient(address, options: options, group: group, logger: logger)
    }

    deinit { client.close() }

    /// Closes all connections. Requests that wait fail.
    public func close() { client.close() }

    /// Where the servers are.
    public var address: RedisAddress { client.address }

    /// Hashes keys with the secret that all instances share. Until that is known, with a random one.
    public var keyHasher: KeyHasher { client.keyHasher }

    /// How many instances shared the store at the last count, 1 or more.
    public var instances: Int { client.instances }

    /// Counts since the store was made, and its present state.
    public var statistics: Statistics { client.statistics }

    /// Waits until the store answers.
    ///
    /// - Parameter timeout: how long to wait, in microseconds.
    /// - Throws: the reason why the store does not answer. Its message contains no password.
    public func waitUntilReady(timeout: Timestamp) async throws(StoreError) {
        try await client.waitUntilReady(timeout: timeout)
    }

    /// Calls `body` when the keys' secret becomes known or changes. Keys made before that are invalid; callers that
    /// prepared keys must make them again.
    public func onKeyChange(_ body: @escaping @Sendable () -> Void) { client.onKeyChange(body) }

    /// Forgets remembered denials and gives back borrowed units, because limits have changed.
    public func limitsDidChange() { client.limitsDidChange() }

    /// Decides all charges of one request together.
    ///
    /// - Parameters:
    ///   - charges: one for each limit, or for each of its windows.
    ///   - decisions: gets the decisions if they are made at once.
    /// - Returns: nil if the decisions are made already. Otherwise they follow within the deadline, or a
    ///   ``StoreError`` does.
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
