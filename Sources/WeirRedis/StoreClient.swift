import Logging
import NIOCore
import NIOSSL
import Synchronization
import Weir

/// The implementation of ``RedisStore``: decides what this instance can decide, and lets the servers decide the rest.
///
/// The client, its nodes and its timers keep each other alive until ``close()``.
final class StoreClient: Sendable {
    let options: RedisConfiguration
    var address: RedisAddress { options.address }
    private let hasOwnClock: Bool
    let logger: Logger
    let topology: Topology
    let loop: any EventLoop
    let denials = DenialMemory()
    let leases = LeasedUnits()
    let lookups = LookupCache()
    private let handOver = Mutex(HandOver())
    let secrets: Mutex<Secrets>
    let permits = Mutex<[UInt64: Charge]>([:])
    /// Identifies this instance among those that share the store.
    let identityText = String(UInt64.random(in: 0 ... .max), radix: 16)
    private let isStarted = Atomic<Bool>(false)
    /// Whether this instance is no longer one of those that share the store.
    let hasLeft = Atomic<Bool>(false)
    private let sequence = Atomic<UInt64>(UInt64.random(in: 0 ... .max))
    let instanceCount = Mutex(InstanceCount())
    private let lateCharges = Atomic<UInt64>(0)
    /// How many slices of the permits have been renewed.
    let renewals = Atomic<UInt64>(0)
    let isUp = Atomic<Bool>(false)
    /// How many nodes answer with errors.
    private let refusing = Atomic<Int>(0)
    let timers = Mutex<[RepeatedTask]>([])

    struct Secrets {
        var hasher: KeyHasher
        /// Whether all instances have the hasher's secret.
        var isKnown: Bool
        var onChange: (@Sendable () -> Void)?
    }

    init(
        _ options: RedisConfiguration, group: any EventLoopGroup, logger: Logger
    ) throws(StoreError) {
        self.options = options
        hasOwnClock = options.clock != nil
        self.logger = logger
        loop = group.next()
        if let secret = options.keySecret {
            secrets = Mutex(Secrets(hasher: KeyHasher(keySecret: secret), isKnown: true))
        } else {
            secrets = Mutex(
                Secrets(
                    hasher: KeyHasher(sharedSecret: .random(in: 0 ... .max), .random(in: 0 ... .max)), isKnown: false))
        }
        var configuration = Node.Configuration()
        configuration.pipeline = Pipeline.Options(
            deadline: .microseconds(options.decisionTicks), isCluster: options.address.deployment == .cluster)
        configuration.pipeline.mostWaiting = options.maximumPendingOperations
        configuration.credentials = Credentials(user: options.username, password: options.password)
        configuration.sentinelCredentials = Credentials(
            user: options.sentinelUsername, password: options.sentinelPassword)
        configuration.database = options.address.database
        configuration.prefix = options.keyPrefix
        configuration.script.slack = options.slack
        configuration.script.lease = options.leaseTicks
        configuration.clock = options.clock
        configuration.tls = try options.makeTLSContext()
        topology = Topology(loop: loop, address: options.address, configuration: configuration, logger: logger)
    }

    /// Starts to connect. Later calls do nothing.
    func start() {
        guard !isStarted.exchange(true, ordering: .relaxed) else { return }
        topology.start(owner: self)
        startTimers()
    }

    /// Closes all connections. Requests that wait fail.
    func close() {
        for timer in timers.withLock({ $0 }) { timer.cancel() }
        secrets.withLock { $0.onChange = nil }
        topology.close()
    }

    /// Removes this instance from those that share the store, and closes all connections.
    func leave() async {
        // No heartbeat may put it back.
        hasLeft.store(true, ordering: .relaxed)
        for timer in timers.withLock({ $0 }) { timer.cancel() }
        let answer = PendingAnswer<Void>()
        loop.execute { [self] in
            // A server that is gone must not hold up the shutdown.
            let overdue = loop.scheduleTask(in: .milliseconds(500)) { answer.complete(()) }
            let key = "\(options.keyPrefix)instances"
            topology.command(RESPCommand("ZREM", key, identityText), key: key) { _ in
                overdue.cancel()
                answer.complete(())
            }
        }
        await answer.value
        close()
    }

    // MARK: State

    var statistics: RedisStore.Statistics {
        RedisStore.Statistics(
            answeredLocally: denials.answered, leased: leases.spent,
            lateCharges: lateCharges.load(ordering: .relaxed), instances: instances,
            isAvailable: isUp.load(ordering: .relaxed) && refusing.load(ordering: .relaxed) == 0,
            canBorrow: sharers(at: .now()) != nil)
    }

    var keyHasher: KeyHasher { secrets.withLock { $0.hasher } }

    var instances: Int { instanceCount.withLock { $0.count } }

    func waitUntilReady(timeout: Timestamp) async throws(StoreError) {
        let answer = PendingAnswer<Result<Void, StoreError>>()
        let isReady = PendingAnswer<Result<Void, StoreError>>()
        loop.execute { [self] in
            let ask = loop.scheduleRepeatedTask(initialDelay: .zero, delay: .milliseconds(10)) { [self] task in
                let trouble = topology.trouble
                if trouble.code == .rejected {
                    // This doesn't pass by itself: a wrong password, for example.
                    isReady.complete(.failure(trouble))
                    return
                }
                guard secrets.withLock({ $0.isKnown }) else { return }
                topology.command(RESPCommand("PING"), key: secretKey) { result in
                    if case .success = result { isReady.complete(.success(())) }
                }
            }
            isReady.whenComplete {
                ask.cancel()
                answer.complete($0)
            }
            loop.scheduleTask(in: .microseconds(timeout)) { [self] in
                ask.cancel()
                answer.complete(.failure(topology.trouble))
            }
        }
        try await answer.value.get()
    }

    /// Calls `body` when the keys' secret becomes known or changes. Keys made before that are invalid.
    func onKeySecretChange(_ body: @escaping @Sendable () -> Void) {
        secrets.withLock { $0.onChange = body }
    }

    func limitsDidChange() {
        denials.sweep(at: .distantFuture)
        giveBackUnspent(at: .distantFuture)
    }

    // MARK: Deciding

    func decide(_ charges: [Charge], into decisions: inout [Decision]) -> PendingAnswer<DecisionResult>? {
        decisions.removeAll(keepingCapacity: true)
        guard !charges.isEmpty else { return nil }
        let now = NIODeadline.now()
        if options.cachesDenials, denials.answer(charges, at: localTime(now), into: &decisions) { return nil }
        if charges.contains(where: { $0.isLeased }) { return decideLeased(charges, at: now, into: &decisions) }
        return ask(charges, at: now)
    }

    /// Decides by remembered denials alone.
    func peek(_ charges: [Charge], into decisions: inout [Decision]) -> Bool {
        options.cachesDenials && denials.answer(charges, at: localTime(NIODeadline.now()), into: &decisions)
    }

    /// Lets the server decide.
    func ask(_ charges: [Charge], at now: NIODeadline) -> PendingAnswer<DecisionResult> {
        let answer = PendingAnswer<DecisionResult>()
        guard secrets.withLock({ $0.isKnown }) else {
            answer.complete(.failure(StoreError(.unavailable, "the store has not been reached yet")))
            return answer
        }
        let deadline = now + .microseconds(options.decisionTicks)
        if address.deployment == .cluster, !charges.dropFirst().allSatisfy({ $0.key.tag == charges[0].key.tag }) {
            SlotBySlot(self, charges, submitted: now, deadline: deadline, answer).start()
        } else {
            submit(
                .decide(charges, id: nextSequence(), answer), submitted: now, deadline: deadline)
        }
        return answer
    }

    /// The time that local memory goes by: the machine's, or a test clock's.
    func localTime(_ time: NIODeadline) -> NIODeadline {
        // Check the flag first: looking at an existential costs more than everything else here.
        guard hasOwnClock, let clock = options.clock else { return time }
        return .uptimeNanoseconds(UInt64(clamping: clock.timestamp) * 1000)
    }

    /// A new charge's name.
    func nextSequence() -> UInt64 {
        ChargeNames.name(sequence.wrappingAdd(ChargeNames.step, ordering: .relaxed).newValue)
    }

    func apply(_ adjustment: Adjustment) -> StoreAnswer<Bool> {
        let answer = PendingAnswer<Result<Bool, StoreError>>()
        switch adjustment.kind {
        case .refund(let charge, let receipt):
            if charge.numbers.algorithm == .concurrency {
                permits.withLock { _ = $0.removeValue(forKey: receipt.sequence) }
            } else {
                denials.forget(charge.key)
            }
            submit(.refund(charge, receipt, answer))
        case .debit(let charge): submit(.debit(charge, answer))
        case .credit(let charge):
            denials.forget(charge.key)
            submit(.credit(charge, answer))
        case .settle(let charge, let receipt, let actual): settle(charge, receipt, actual: actual, answer)
        case .reset(let numbers, let key):
            denials.forget(key)
            leases.forget(key)
            if numbers.algorithm == .concurrency { permits.withLock { $0 = $0.filter { $0.value.key != key } } }
            submit(.reset(numbers, key, answer))
        }
        return .pending(answer)
    }

    func submit(_ work: StoreOperation.Work) {
        let now = NIODeadline.now()
        submit(work, submitted: now, deadline: now + .microseconds(options.decisionTicks))
    }

    /// Refunds a charge that no caller knows of.
    func giveBack(_ charge: Charge, _ receipt: Receipt) {
        if charge.isHold { return settle(charge, receipt, actual: 0, nil) }
        permits.withLock { _ = $0.removeValue(forKey: receipt.sequence) }
        submitPatiently(.refund(charge, receipt, nil))
    }

    /// Ends a hold. If the server can't be reached, the hold is charged as it stands when its lease ends.
    private func settle(
        _ charge: Charge, _ receipt: Receipt, actual: Int64, _ answer: PendingAnswer<Result<Bool, StoreError>>?
    ) {
        permits.withLock { _ = $0.removeValue(forKey: receipt.sequence) }
        submitPatiently(.settle(charge, receipt, actual: actual, answer))
    }

    /// Submits work that no request waits for. It may take seconds, longer than a server usually stalls.
    private func submitPatiently(_ work: StoreOperation.Work) {
        let now = NIODeadline.now()
        let operation = StoreOperation(work, submitted: now, deadline: now + .seconds(5))
        operation.isPatient = true
        hand(operation)
    }

    /// Extends the leases of some permits and holds. Call it only on the loop.
    ///
    /// A permit that was given back meanwhile must not be renewed after that. So it is looked up just before its
    /// renewal is submitted, and nothing handed over later can overtake the renewal.
    func renewLeases(_ ids: [UInt64]) {
        submitHandedOver()
        let now = NIODeadline.now()
        for id in ids {
            guard let permit = permits.withLock({ $0[id] }) else { continue }
            topology.submit(
                StoreOperation(
                    .renew(permit, id: id), submitted: now, deadline: now + .microseconds(options.decisionTicks)))
        }
    }

    func submit(_ work: StoreOperation.Work, submitted: NIODeadline, deadline: NIODeadline) {
        hand(StoreOperation(work, submitted: submitted, deadline: deadline))
    }

    private func hand(_ operation: StoreOperation) {
        if loop.inEventLoop {
            // Operations that were handed over earlier go first.
            submitHandedOver()
            topology.submit(operation)
            return
        }
        if handOver.withLock({ $0.append(operation) }) { loop.execute { self.submitHandedOver() } }
    }

    /// Submits the operations that were handed over. Call it only on the loop.
    private func submitHandedOver() {
        let operations = handOver.withLock { $0.empty() }
        for operation in operations { topology.submit(operation) }
    }

    /// Sends a command that is not a batch. It ends within the deadline: with the server's answer or a failure.
    func send(
        _ command: RESPCommand, key: String, _ receive: @escaping @Sendable (Result<RESPValue, StoreError>) -> Void
    ) {
        let answer = PendingAnswer<Result<RESPValue, StoreError>>()
        answer.whenComplete(receive)
        loop.execute { [self] in
            let overdue = loop.scheduleTask(in: .microseconds(options.decisionTicks)) {
                answer.complete(.failure(StoreError(.timedOut, "no answer within the deadline")))
            }
            guard topology.isUp(for: key) else {
                overdue.cancel()
                answer.complete(.failure(StoreError(.unavailable, "the server does not answer in time")))
                return
            }
            topology.command(command, key: key) { result in
                overdue.cancel()
                answer.complete(result)
            }
        }
    }
}

extension StoreClient: NodeOwner {
    func node(_ node: Node, executed operation: StoreOperation, _ result: StoreOperation.Outcome, isLate: Bool) {
        guard case .decide(let charges, _, let answer) = operation.work, case .decisions(let decisions) = result else {
            return
        }
        let now = NIODeadline.now()
        for (charge, decision) in zip(charges, decisions) {
            if let receipt = decision.receipt {
                if isLate {
                    // No caller knows of this charge.
                    lateCharges.wrappingAdd(1, ordering: .relaxed)
                    giveBack(charge, receipt)
                } else if charge.isHold || charge.numbers.algorithm == .concurrency, answer != nil {
                    permits.withLock { $0[receipt.sequence] = charge }
                }
            } else if options.cachesDenials {
                denials.remember(
                    charge, decision, sent: localTime(operation.submitted), at: localTime(now))
            }
        }
    }

    func node(_ node: Node, refused operation: StoreOperation, _ error: ServerError) {
        if case .tryAgain = error.kind, address.deployment == .cluster,
            case .decide(let charges, _, let answer?) = operation.work,
            charges.count > 1, !operation.isAnswered
        {
            // The slot is being moved: some of the keys are here and others are there already.
            SlotBySlot(
                self, charges, submitted: operation.submitted, deadline: operation.deadline, answer, eachAlone: true
            ).start()
            return
        }
        topology.refused(operation, error, by: node)
    }

    func node(_ node: Node, isRefusing: Bool) {
        refusing.wrappingAdd(isRefusing ? 1 : -1, ordering: .relaxed)
    }

    func nodeIsAboutToSend(_ node: Node) { submitHandedOver() }

    func node(_ node: Node, gathers gathering: BatchPacing.Gathering?) -> Bool {
        let operations = handOver.withLock { $0.gather(gathering) }
        for operation in operations { topology.submit(operation) }
        return !operations.isEmpty
    }

    func nodeIsReady(_ node: Node) {
        topology.isReady(node)
        fetchSecret()
        countInstances()
    }
}
