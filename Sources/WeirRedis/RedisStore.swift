import Crypto
public import Logging
public import NIOCore
public import NIOPosix
import NIOSSL
import Synchronization
public import Weir

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

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

    public let address: RedisAddress
    let options: Options
    private let logger: Logger
    private let router: LateRouter
    private let loop: any EventLoop
    private let denials = DenialMemory()
    let leases = LeasedUnits()
    let lookups = LookupCache()
    private let inbox = Mutex(Inbox())
    private let secrets: Mutex<Secrets>
    private let permits = Mutex<[UInt64: Charge]>([:])
    /// Names this instance among those that share the store, and its charges.
    private let identity = UInt64.random(in: 0 ... .max)
    private let sequence = Atomic<UInt64>(UInt64.random(in: 0 ... .max))
    let peers = Mutex(Peers())
    private let lateCharges = Atomic<UInt64>(0)
    /// How many slices of the permits were renewed.
    private let renewals = Atomic<UInt64>(0)
    private let isUp = Atomic<Bool>(false)
    private let timers = Mutex<[RepeatedTask]>([])

    private struct Inbox {
        var operations: [Operation] = []
        var isScheduled = false
    }

    private struct Secrets {
        var hasher: KeyHasher
        /// Whether the hasher's secret is the one that all instances have.
        var isKnown: Bool
        var onChange: (@Sendable () -> Void)?
    }

    /// The router needs its owner, which is the store.
    private final class LateRouter: @unchecked Sendable {
        // Sendable, because it is set once, before the store is given to anybody.
        var router: Router?
    }

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
        self.address = address
        self.options = options
        self.logger = logger
        loop = group.next()
        if let secret = options.keySecret {
            secrets = Mutex(Secrets(hasher: Self.hasher(ofSecret: secret), isKnown: true))
        } else {
            secrets = Mutex(
                Secrets(
                    hasher: KeyHasher(sharedSecret: .random(in: 0 ... .max), .random(in: 0 ... .max)), isKnown: false))
        }
        var configuration = Node.Configuration()
        configuration.pipeline.deadline = .microseconds(options.deadline)
        configuration.pipeline.mostWaiting = options.mostWaiting
        if address.topology == .cluster {
            // Batches are small there, for few keys lie in one slot.
            configuration.pipeline.isCluster = true
            configuration.pipeline.mostInFlight = 64
        }
        configuration.user = address.user
        configuration.password = address.password
        configuration.database = address.database
        configuration.prefix = options.prefix
        configuration.script.slack = options.slack
        configuration.script.lease = options.lease
        configuration.clock = options.clock
        if address.usesTLS { configuration.tls = try Self.tls(address) }
        router = LateRouter()
        let router = Router(loop: loop, address: address, configuration: configuration, logger: logger, owner: self)
        self.router.router = router
        router.start()
        startTimers()
    }

    private static func tls(_ address: RedisAddress) throws(StoreFailure) -> NIOSSLContext {
        var configuration = TLSConfiguration.makeClientConfiguration()
        // A server that is gone says no farewell.
        configuration.shutdownTimeout = .milliseconds(100)
        do {
            if let file = address.caFile {
                configuration.trustRoots = .certificates(try NIOSSLCertificate.fromPEMFile(file))
            }
            return try NIOSSLContext(configuration: configuration)
        } catch {
            throw StoreFailure(
                .refused, "TLS for the store can't be set up\(address.caFile.map { " with \($0)" } ?? ""): \(error)")
        }
    }

    private static func hasher(ofSecret secret: String) -> KeyHasher {
        // A key of 128 bits out of a text of any length.
        let digest = Array(SHA256.hash(data: Data("weir key secret\n\(secret)".utf8)))
        func word(_ bytes: ArraySlice<UInt8>) -> UInt64 { bytes.reduce(0) { $0 << 8 | UInt64($1) } }
        return KeyHasher(sharedSecret: word(digest[0..<8]), word(digest[8..<16]))
    }

    /// Stops. What waits is failed.
    public func close() {
        for timer in timers.withLock({ $0 }) { timer.cancel() }
        router.router?.close()
    }

    deinit { close() }

    // MARK: State

    public var keyHasher: KeyHasher { secrets.withLock { $0.hasher } }

    public var instances: Int { peers.withLock { $0.count } }

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

    public var statistics: Statistics {
        Statistics(
            answeredLocally: denials.answered, leased: leases.spent,
            lateCharges: lateCharges.load(ordering: .relaxed), instances: instances,
            isUp: isUp.load(ordering: .relaxed), canBorrow: sharers(at: .now()) != nil)
    }

    /// Waits until the store answers.
    ///
    /// - Parameter timeout: microseconds.
    /// - Throws: why it does not. The message holds no password.
    public func waitUntilReady(timeout: Timestamp) async throws(StoreFailure) {
        let answer = PendingAnswer<Result<Void, StoreFailure>>()
        let isReady = PendingAnswer<Result<Void, StoreFailure>>()
        loop.execute { [self] in
            let ask = loop.scheduleRepeatedTask(initialDelay: .zero, delay: .milliseconds(10)) { [self] task in
                if let trouble = router.router?.trouble, trouble.code == .refused {
                    // It will not pass by itself, such as a wrong password.
                    isReady.complete(.failure(trouble))
                    return
                }
                guard secrets.withLock({ $0.isKnown }) else { return }
                router.router?.command(RESPCommand("PING"), key: secretKey) { result in
                    if case .success = result { isReady.complete(.success(())) }
                }
            }
            isReady.whenComplete {
                ask.cancel()
                answer.complete($0)
            }
            loop.scheduleTask(in: .microseconds(timeout)) { [self] in
                ask.cancel()
                answer.complete(.failure(router.router?.trouble ?? StoreFailure(.unavailable, "closed")))
            }
        }
        try await answer.value.get()
    }

    /// Calls `body` when the keys' secret becomes known, or is another: keys made before are worth nothing then, and
    /// whoever made some ready must do so again.
    public func onKeyChange(_ body: @escaping @Sendable () -> Void) {
        secrets.withLock { $0.onChange = body }
    }

    public func limitsDidChange() {
        denials.sweep(at: .distantFuture)
        giveBackUnspent(at: .distantFuture)
    }

    // MARK: Deciding

    public func decide(_ charges: [Charge], into decisions: inout [Decision]) -> PendingAnswer<DecisionResult>? {
        decisions.removeAll(keepingCapacity: true)
        guard !charges.isEmpty else { return nil }
        let now = NIODeadline.now()
        if options.remembersDenials, denials.answer(charges, at: localTime(now), into: &decisions) { return nil }
        if charges.contains(where: \.isLeased) { return decideLeased(charges, at: now, into: &decisions) }
        return ask(charges, at: now)
    }

    /// Has the server decide.
    func ask(_ charges: [Charge], at now: NIODeadline) -> PendingAnswer<DecisionResult> {
        let answer = PendingAnswer<DecisionResult>()
        guard secrets.withLock({ $0.isKnown }) else {
            answer.complete(.failure(StoreFailure(.unavailable, "the store was never reached")))
            return answer
        }
        let deadline = now + .microseconds(options.deadline)
        if address.topology == .cluster, !charges.dropFirst().allSatisfy({ $0.key.tag == charges[0].key.tag }) {
            SlotBySlot(self, charges, submitted: now, deadline: deadline, answer).start()
        } else {
            submit(
                .decide(charges, ids: charges.map { _ in nextSequence() }, answer), submitted: now, deadline: deadline)
        }
        return answer
    }

    /// The time that what is remembered here goes by: the machine's, or that of a test's clock.
    func localTime(_ time: NIODeadline) -> NIODeadline {
        guard let clock = options.clock else { return time }
        return .uptimeNanoseconds(UInt64(clamping: clock.now()) * 1000)
    }

    /// Names a charge among all of all instances.
    func nextSequence() -> UInt64 {
        // The finisher of SplitMix64: a bijection, so that no two of this instance are the same.
        var z = sequence.wrappingAdd(0x9E37_79B9_7F4A_7C15, ordering: .relaxed).newValue
        z = (z ^ z >> 30) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ z >> 27) &* 0x94D0_49BB_1331_11EB
        z ^= z >> 31
        return max(1, z & ~(1 << 63))
    }

    public func apply(_ adjustment: Adjustment) -> StoreAnswer<Bool> {
        let answer = PendingAnswer<Result<Bool, StoreFailure>>()
        switch adjustment {
        case .refund(let charge, let receipt):
            if charge.numbers.algorithm == .concurrency {
                permits.withLock { _ = $0.removeValue(forKey: receipt.sequence) }
            } else {
                denials.forget(charge.key)
            }
            submit(.refund(charge, receipt, answer))
        case .debit(let charge): submit(.debit(charge, answer))
        case .reset(let numbers, let key):
            denials.forget(key)
            leases.forget(key)
            if numbers.algorithm == .concurrency { permits.withLock { $0 = $0.filter { $0.value.key != key } } }
            submit(.reset(numbers, key, answer))
        }
        return .pending(answer)
    }

    private func submit(_ work: Operation.Work) {
        let now = NIODeadline.now()
        submit(work, submitted: now, deadline: now + .microseconds(options.deadline))
    }

    /// Refunds a charge that nobody knows of. It has time: longer than a server mostly stalls.
    func giveBack(_ charge: Charge, _ receipt: Receipt) {
        let now = NIODeadline.now()
        let refund = Operation(.refund(charge, receipt, nil), submitted: now, deadline: now + .seconds(5))
        refund.isPatient = true
        permits.withLock { _ = $0.removeValue(forKey: receipt.sequence) }
        hand(refund)
    }

    func submit(_ work: Operation.Work, submitted: NIODeadline, deadline: NIODeadline) {
        hand(Operation(work, submitted: submitted, deadline: deadline))
    }

    private func hand(_ operation: Operation) {
        if loop.inEventLoop {
            router.router?.submit(operation)
            return
        }
        let isFirst = inbox.withLock { inbox in
            inbox.operations.append(operation)
            defer { inbox.isScheduled = true }
            return !inbox.isScheduled
        }
        if isFirst { loop.execute { self.emptyInbox() } }
    }

    private func emptyInbox() {
        let operations = inbox.withLock { inbox in
            let operations = inbox.operations
            inbox.operations.removeAll(keepingCapacity: true)
            inbox.isScheduled = false
            return operations
        }
        for operation in operations { router.router?.submit(operation) }
    }

    /// Sends a command of the client's own, which is answered within the deadline: by the server or by a failure.
    func send(
        _ command: RESPCommand, key: String, _ receive: @escaping @Sendable (Result<RESPValue, StoreFailure>) -> Void
    ) {
        let answer = PendingAnswer<Result<RESPValue, StoreFailure>>()
        answer.whenComplete(receive)
        loop.execute { [self] in
            let overdue = loop.scheduleTask(in: .microseconds(options.deadline)) {
                answer.complete(.failure(StoreFailure(.deadline, "no answer within the deadline")))
            }
            guard let router = router.router, router.isUp(for: key) else {
                overdue.cancel()
                answer.complete(.failure(StoreFailure(.unavailable, "the server does not answer in time")))
                return
            }
            router.command(command, key: key) { result in
                overdue.cancel()
                answer.complete(result)
            }
        }
    }

    // MARK: Keeping house

    private func startTimers() {
        // A tenth of the permits at a time, so that each is renewed at a third of its lease and all together don't crowd
        // out decisions.
        let slice = TimeAmount.microseconds(max(options.lease, 30_000) / 30)
        let renew = loop.scheduleRepeatedTask(initialDelay: slice, delay: slice) { [weak self] task in
            guard let self else { return task.cancel() }
            let now = renewals.wrappingAdd(1, ordering: .relaxed).newValue % 10
            for (id, charge) in permits.withLock({ $0.filter { $0.key % 10 == now } }) {
                submit(.renew(charge, id: id))
            }
        }
        let secret = loop.scheduleRepeatedTask(initialDelay: .milliseconds(100), delay: .milliseconds(100)) {
            [weak self] task in
            guard let self, !secrets.withLock({ $0.isKnown }) else { return task.cancel() }
            fetchSecret()
        }
        let unspent = loop.scheduleRepeatedTask(initialDelay: .seconds(1), delay: .milliseconds(500)) {
            [weak self] task in
            guard let self else { return task.cancel() }
            giveBackUnspent(at: localTime(.now()))
        }
        let beat = TimeAmount.microseconds(options.heartbeat)
        let others = loop.scheduleRepeatedTask(initialDelay: beat, delay: beat) { [weak self] task in
            guard let self else { return task.cancel() }
            denials.sweep(at: .now())
            lookups.sweep(at: .now())
            countInstances()
            fetchSecret()
        }
        timers.withLock { $0 = [renew, secret, unspent, others] }
    }

    private var secretKey: String { "\(options.prefix)key-secret" }

    /// Longer than any counter is kept.
    private static let secretLifetime = 400 * 86_400 * 1000

    /// Takes the secret that all instances share from the store, or puts one there. A store that came back empty gets the
    /// old one again from the first instance that notices.
    private func fetchSecret() {
        guard options.keySecret == nil else { return }
        let mine = secrets.withLock { $0.hasher.sharedSecretText }
        let put = RESPCommand("SET", secretKey, mine, "NX", "PX", String(Self.secretLifetime))
        router.router?.command(put, key: secretKey) { _ in }
        router.router?.command(RESPCommand("PEXPIRE", secretKey, String(Self.secretLifetime)), key: secretKey) { _ in }
        router.router?.command(RESPCommand("GET", secretKey), key: secretKey) { [weak self] result in
            // An error of the server's says nothing about the secret.
            guard let self, case .success(.string(let buffer)) = result else { return }
            let text = String(buffer: buffer)
            guard let hasher = KeyHasher(sharedSecretText: text) else {
                logger.error("the store's '\(secretKey)' is not a secret; delete it, or set WEIR_KEY_SECRET")
                return
            }
            adopt(hasher, text: text)
        }
    }

    private func adopt(_ hasher: KeyHasher, text: String) {
        let onChange = secrets.withLock { secrets -> (@Sendable () -> Void)? in
            if secrets.isKnown, secrets.hasher.sharedSecretText == text { return nil }
            let isSame = secrets.hasher.sharedSecretText == text
            secrets.hasher = hasher
            secrets.isKnown = true
            return isSame ? nil : secrets.onChange
        }
        onChange?()
    }

    private func countInstances() {
        let key = "\(options.prefix)instances"
        let script = """
            local t = redis.call('TIME')
            local now = t[1] * 1000 + math.floor(t[2] / 1000)
            redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
            redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
            redis.call('PEXPIRE', KEYS[1], ARGV[2])
            return redis.call('ZCARD', KEYS[1])
            """
        // Three heartbeats, in milliseconds.
        let lifetime = max(3, options.heartbeat / 1000 * 3)
        let command = RESPCommand("EVAL", script, "1", key, String(identity, radix: 16), String(lifetime))
        router.router?.command(command, key: key) { [weak self] result in
            guard let self else { return }
            guard case .success(.integer(let count)) = result else {
                isUp.store(false, ordering: .relaxed)
                peers.withLock { $0.countFailed() }
                return
            }
            isUp.store(true, ordering: .relaxed)
            peers.withLock { $0.counted(Int(clamping: count), at: .now()) }
        }
    }

}

extension RedisStore: NodeOwner {
    func node(_ node: Node, executed operation: Operation, _ result: Operation.Outcome, isLate: Bool) {
        guard case .decide(let charges, _, let answer) = operation.work, case .decisions(let decisions) = result else {
            return
        }
        let now = NIODeadline.now()
        for (charge, decision) in zip(charges, decisions) {
            if let receipt = decision.receipt {
                if isLate {
                    // Nobody knows of this charge.
                    lateCharges.wrappingAdd(1, ordering: .relaxed)
                    giveBack(charge, receipt)
                } else if charge.numbers.algorithm == .concurrency, answer != nil {
                    permits.withLock { $0[receipt.sequence] = charge }
                }
            } else if options.remembersDenials {
                denials.remember(
                    charge, decision, sent: localTime(operation.submitted), at: localTime(now))
            }
        }
    }

    func node(_ node: Node, refused operation: Operation, _ error: ServerError) {
        if case .tryAgain = error, address.topology == .cluster,
            case .decide(let charges, _, let answer?) = operation.work,
            charges.count > 1, !operation.isAnswered
        {
            // The slot is on the move: one key is here and another there already.
            SlotBySlot(
                self, charges, submitted: operation.submitted, deadline: operation.deadline, answer, eachAlone: true
            ).start()
            return
        }
        router.router?.refused(operation, error, by: node)
    }

    func nodeIsReady(_ node: Node) {
        router.router?.isReady(node)
        fetchSecret()
        countInstances()
    }
}

extension KeyHasher {
    /// 32 hexadecimal digits.
    fileprivate init?(sharedSecretText text: String) {
        guard text.utf8.count == 32, let high = UInt64(text.prefix(16), radix: 16),
            let low = UInt64(text.suffix(16), radix: 16)
        else { return nil }
        self.init(sharedSecret: high, low)
    }

    fileprivate var sharedSecretText: String {
        let (high, low) = sharedSecret
        return [high, low].map { word in
            let digits = String(word, radix: 16)
            return String(repeating: "0", count: 16 - digits.count) + digits
        }.joined()
    }
}
