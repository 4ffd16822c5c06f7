import Logging
import NIOCore
import NIOPosix
import NIOSSL
import Weir

/// One server: a connection that is made again whenever it is lost, with a ``Pipeline`` of operations.
///
/// Everything happens on one event loop.
final class Node: @unchecked Sendable {
    // Sendable, because everything that changes is only used on `loop`.
    struct Configuration: Sendable {
        var pipeline = Pipeline.Options()
        var credentials = Credentials()
        /// The credentials for sentinels.
        var sentinelCredentials = Credentials()
        var database = 0
        var tls: NIOSSLContext?
        var prefix = "weir:"
        var script = ScriptOptions()
        /// Whether the server must be a master.
        var needsMaster = true
        var connectTimeout = TimeAmount.seconds(1)
        var longestPause = TimeAmount.seconds(1)
        /// The clock to decide by, for tests. Nil for the server's.
        var clock: (any TickClock)?
    }

    typealias Endpoint = RedisAddress.Endpoint

    let loop: any EventLoop
    let configuration: Configuration
    private let resolve: @Sendable (any EventLoop) -> EventLoopFuture<Endpoint>
    private let logger: Logger
    /// Nil once the node is closed.
    private var owner: (any NodeOwner)?

    private var pipeline: Pipeline
    private var channel: (any Channel)?
    private var script = ByteBuffer()
    private var failures = 0
    private var isClosed = false
    private var flushIsScheduled = false
    /// Whether a task is scheduled that looks at the operations that have gathered.
    private var looksAgain = false
    private var deadlineTask: Scheduled<Void>?
    /// When ``deadlineTask`` runs.
    private var armed: NIODeadline?
    private var probeTask: RepeatedTask?
    /// Why operations fail now; nil if they don't.
    private(set) var trouble: StoreError?
    private var lastLogged: String?
    private(set) var endpoint: Endpoint?
    /// Authenticates the connection that is being opened; nil for a server that needs no password.
    private var authentication: RESPCommand?

    init(
        loop: any EventLoop, configuration: Configuration, logger: Logger, owner: any NodeOwner,
        resolve: @escaping @Sendable (any EventLoop) -> EventLoopFuture<Endpoint>
    ) {
        self.loop = loop
        self.configuration = configuration
        self.logger = logger
        self.owner = owner
        self.resolve = resolve
        pipeline = Pipeline(configuration.pipeline)
    }

    /// Whether the server answers, but with errors: it is full, say. Every request is then decided without it.
    private var isRefusing = false {
        didSet {
            guard isRefusing != oldValue else { return }
            owner?.node(self, isRefusing: isRefusing)
        }
    }

    // MARK: Taking operations

    /// Takes an operation or fails it. Call it only on the loop.
    func submit(_ operation: StoreOperation) {
        if let failure = pipeline.submit(operation) {
            operation.fail(failure.code == .unavailable ? trouble ?? failure : failure)
        } else {
            arm(operation.deadline)
            scheduleFlush()
        }
    }

    /// Whether the node takes operations. Only a hint.
    var isUp: Bool { pipeline.isUp && !pipeline.isBreakerOpen }

    /// Sends a command that is not a batch. Call it only on the loop.
    func command(_ command: RESPCommand, _ receive: @escaping (Result<RESPValue, StoreError>) -> Void) {
        guard pipeline.isUp, let channel else {
            receive(.failure(trouble ?? StoreError(.unavailable, "not connected")))
            return
        }
        pipeline.sent(Pipeline.Control(receive: receive), at: .now())
        channel.writeAndFlush(command.bytes, promise: nil)
    }

    // MARK: Sending

    private func scheduleFlush() {
        guard !flushIsScheduled else { return }
        flushIsScheduled = true
        // Operations that are submitted in the same turn of the loop share a batch.
        loop.execute {
            self.flushIsScheduled = false
            self.flush()
        }
    }

    private func flush() {
        // Operations that are submitted during the flush go with it.
        flushIsScheduled = true
        defer { flushIsScheduled = false }
        owner?.nodeIsAboutToSend(self)
        var gathering: BatchPacing.Gathering?
        repeat {
            // Use one time for both. With two, an operation that is not sent yet at the first might no longer gather at
            // the second.
            let now = NIODeadline.now()
            if let channel { sendBatches(channel, at: now) }
            gathering = pipeline.gathering(at: now)
        } while owner?.node(self, gathers: gathering) == true
        if let gathering { lookAgain(at: gathering.until) }
    }

    /// Sends the operations that have gathered by then, even if the server has not answered.
    private func lookAgain(at time: NIODeadline) {
        // An earlier wake-up schedules the next one.
        guard !looksAgain else { return }
        looksAgain = true
        loop.scheduleTask(deadline: time) {
            self.looksAgain = false
            self.flush()
        }
    }

    private func sendBatches(_ channel: any Channel, at now: NIODeadline, mayGather: Bool = true) {
        var wrote = false
        while let batch = pipeline.nextBatch(prefix: configuration.prefix, at: now, mayGather: mayGather) {
            if batch.isAsking {
                pipeline.sent(Pipeline.Control(receive: { _ in }), beforeLastAt: now)
                channel.write(RESPCommand("ASKING").bytes, promise: nil)
            }
            let command = batch.command(
                script: script, time: configuration.clock?.timestamp, options: configuration.script)
            channel.write(command.bytes, promise: nil)
            wrote = true
        }
        if wrote { channel.flush() }
    }

    private func arm(_ deadline: NIODeadline) {
        if let armed, armed <= deadline { return }
        deadlineTask?.cancel()
        armed = deadline
        deadlineTask = loop.scheduleTask(deadline: deadline) { self.deadlineHasCome() }
    }

    private func deadlineHasCome() {
        deadlineTask = nil
        armed = nil
        let wasOpen = pipeline.isBreakerOpen
        for operation in pipeline.expire(at: .now()) {
            operation.fail(StoreError(.timedOut, "no answer within the deadline"))
        }
        if pipeline.isBreakerOpen, !wasOpen {
            log(.warning, "the store does not answer in time; probing")
            probe()
        }
        if let next = pipeline.nextDeadline { arm(next) }
        flush()
    }

    /// While the breaker is open, asks the server for a sign of life, and closes the connection when it has been silent
    /// for too long.
    private func probe() {
        probeTask?.cancel()
        probeTask = loop.scheduleRepeatedTask(initialDelay: .zero, delay: .milliseconds(100)) { [self] task in
            guard pipeline.isUp, pipeline.isBreakerOpen, let channel else {
                task.cancel()
                return
            }
            let now = NIODeadline.now()
            if pipeline.isSilent(at: now) {
                task.cancel()
                trouble = StoreError(.unavailable, "the server does not answer")
                channel.close(promise: nil)
                return
            }
            pipeline.sent(Pipeline.Control(isProbe: true, receive: { _ in }), at: now)
            channel.writeAndFlush(RESPCommand("PING").bytes, promise: nil)
        }
    }

    // MARK: Receiving

    fileprivate func received(_ value: RESPValue, from channel: any Channel) {
        guard channel === self.channel else { return }
        let wasOpen = pipeline.isBreakerOpen
        guard let sent = pipeline.received(at: .now()) else {
            channel.close(promise: nil)
            return
        }
        switch sent {
        case .batch(let batch, _): finish(batch, value)
        case .command(let control, _): control.receive(.success(value))
        }
        if wasOpen, !pipeline.isBreakerOpen { log(.notice, "the store answers again") }
        if pipeline.isUp { flush() }
    }

    private func finish(_ batch: Batch, _ value: RESPValue) {
        switch value {
        case .string(let buffer):
            guard let results = batch.results(buffer) else {
                log(.error, "the server's reply is malformed")
                fail(batch, StoreError(.rejected, "the server's reply is malformed"))
                return
            }
            if isRefusing { log(.notice, "the store answers again") }
            isRefusing = false
            for (operation, result) in zip(batch.operations, results) {
                // Tell the owner first: the caller may give a charge back at once, and the owner must have noted it by
                // then.
                owner?.node(self, executed: operation, result, isLate: operation.isAnswered)
                operation.succeed(result)
            }
        case .error(let text):
            let error = ServerError(text)
            switch error.kind {
            case .noScript:
                loadScript()
                pipeline.returnToQueue(batch.operations)
                scheduleFlush()
            case .moved, .ask, .tryAgain, .clusterDown:
                for operation in batch.operations where !operation.isAnswered {
                    owner?.node(self, refused: operation, error)
                }
            case .readOnly:
                trouble = error.failure
                fail(batch, error.failure)
                channel?.close(promise: nil)
            case .denied, .other:
                if !isRefusing { log(.warning, "the store refuses: \(error.failure)") }
                isRefusing = true
                fail(batch, error.failure)
            }
        default:
            fail(batch, StoreError(.rejected, "the server's reply is malformed"))
        }
    }

    private func fail(_ batch: Batch, _ failure: StoreError) {
        for operation in batch.operations { operation.fail(failure) }
    }

    // MARK: Connecting

    /// Connects, and reconnects until ``close()``.
    func start() { loop.execute { self.connect() } }

    func close() {
        loop.execute { [self] in
            isClosed = true
            trouble = StoreError(.unavailable, "the store is closed")
            deadlineTask?.cancel()
            probeTask?.cancel()
            // Refunds are still sent.
            owner?.nodeIsAboutToSend(self)
            if let channel { sendBatches(channel, at: .now(), mayGather: false) }
            failAll(StoreError(.unavailable, "the store is closed"))
            flush()
            isRefusing = false
            owner = nil
            channel?.close(promise: nil)
        }
    }

    private func connect() {
        guard !isClosed, channel == nil else { return }
        // One after the other, so that a password that doesn't come is asked for only once at a time.
        configuration.credentials.command(on: loop).flatMap { [self] command -> EventLoopFuture<Endpoint> in
            authentication = command
            return resolve(loop)
        }.flatMap { [self] endpoint -> EventLoopFuture<any Channel> in
            if isClosed { return loop.makeFailedFuture(StoreError(.unavailable, "the store is closed")) }
            self.endpoint = endpoint
            let node = NIOLoopBound(self, eventLoop: loop)
            let tls = configuration.tls
            return ClientBootstrap(group: loop)
                .channelOption(.tcpOption(.tcp_nodelay), value: 1)
                .connectTimeout(configuration.connectTimeout)
                .channelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        if let tls {
                            // SNI needs a name; an IP address is not one.
                            let isName = (try? SocketAddress(ipAddress: endpoint.host, port: 0)) == nil
                            try channel.pipeline.syncOperations.addHandler(
                                NIOSSLClientHandler(context: tls, serverHostname: isName ? endpoint.host : nil))
                        }
                        try channel.pipeline.syncOperations.addHandler(NodeHandler(node.value))
                    }
                }
                .connect(host: endpoint.host, port: endpoint.port)
        }.whenComplete { [self] result in
            switch result {
            case .success(let channel): connected(channel)
            case .failure(let error):
                let place = endpoint.map { " at \($0)" } ?? ""
                lost(StoreError(.unavailable, "no connection to the store\(place): \(Self.reason(error))"))
            }
        }
    }

    private static func reason(_ error: any Error) -> String {
        switch error {
        case let error as StoreError: error.description
        case is ChannelError: "the attempt timed out"
        case let error as NIOConnectionError:
            error.connectionErrors.first.map { reason($0.error) } ?? "the name \(error.host) has no address"
        case let error as IOError: String(cString: strerror(error.errnoCode))
        default: "\(error)"
        }
    }

    private func connected(_ channel: any Channel) {
        guard !isClosed, channel.isActive else {
            channel.close(promise: nil)
            lost(StoreError(.unavailable, "the server closed the connection"))
            return
        }
        self.channel = channel
        var commands: [(RESPCommand, (RESPValue) -> StoreError?)] = []
        if let authentication { commands.append((authentication, Self.check)) }
        authentication = nil
        if configuration.database != 0 {
            commands.append((RESPCommand("SELECT", String(configuration.database)), Self.check))
        }
        if configuration.needsMaster {
            commands.append(
                (
                    RESPCommand("ROLE"),
                    { value in
                        // A user who may not ask for the role may still be connected to a master.
                        value.elements?.first?.text == "slave" ? ServerError.readOnly.failure : nil
                    }
                ))
        }
        commands.append(
            (
                RESPCommand("SCRIPT", "LOAD", OperationScript.text),
                { [self] value in
                    if case .string(let name) = value { script = name }
                    return Self.check(value)
                }
            ))
        var left = commands.count
        var hasFailed = false
        let now = NIODeadline.now()
        for (command, check) in commands {
            let control = Pipeline.Control { [self] result in
                left -= 1
                switch result.map(check) {
                case .success(nil):
                    if left == 0, !hasFailed { ready() }
                case .success(let failure?), .failure(let failure):
                    hasFailed = true
                    guard self.channel === channel else { return }
                    trouble = failure
                    channel.close(promise: nil)
                }
            }
            pipeline.sent(control, at: now)
            channel.write(command.bytes, promise: nil)
        }
        channel.flush()
        loop.scheduleTask(in: configuration.connectTimeout) { [self] in
            guard self.channel === channel, !pipeline.isUp else { return }
            trouble = StoreError(.unavailable, "the server at \(endpoint.map(\.description) ?? "?") sends no reply")
            channel.close(promise: nil)
        }
    }

    private static func check(_ value: RESPValue) -> StoreError? {
        guard case .error(let text) = value else { return nil }
        return ServerError(text).failure
    }

    private func ready() {
        pipeline.open(at: .now())
        failures = 0
        trouble = nil
        if lastLogged != nil { log(.notice, "connected to the store") }
        lastLogged = nil
        owner?.nodeIsReady(self)
        flush()
    }

    private func loadScript() {
        guard let channel else { return }
        pipeline.sent(
            Pipeline.Control { [self] result in
                if case .success(.string(let name)) = result { script = name }
            }, at: .now())
        channel.write(RESPCommand("SCRIPT", "LOAD", OperationScript.text).bytes, promise: nil)
    }

    fileprivate func closed(_ channel: any Channel) {
        guard channel === self.channel else { return }
        self.channel = nil
        lost(trouble ?? StoreError(.unavailable, "the connection to the store was lost"))
    }

    /// Fails all operations and connects again after a pause, which grows and differs between instances.
    private func lost(_ failure: StoreError) {
        isRefusing = false
        trouble = failure
        probeTask?.cancel()
        failAll(failure)
        flush()
        guard !isClosed else { return }
        if lastLogged != failure.description { log(.warning, failure.description) }
        lastLogged = failure.description
        failures += 1
        let longest = min(configuration.longestPause.nanoseconds, 25_000_000 << Int64(min(failures, 10)))
        loop.scheduleTask(in: .nanoseconds(.random(in: longest / 2...longest))) { self.connect() }
    }

    private func failAll(_ failure: StoreError) {
        let (operations, controls) = pipeline.close()
        for operation in operations { operation.fail(failure) }
        for control in controls { control.receive(.failure(failure)) }
    }

    /// Whether nothing waits and nothing is under way.
    var isIdle: Bool { pipeline.isIdle }

    private func log(_ level: Logger.Level, _ message: String) {
        logger.log(level: level, "\(message)", metadata: endpoint.map { ["store": "\($0)"] } ?? [:])
    }
}

/// Reads replies from the connection.
private final class NodeHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private var parser = RESPParser()
    private let node: Node

    init(_ node: Node) {
        self.node = node
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var bytes = unwrapInboundIn(data)
        parser.append(&bytes)
        do {
            while let value = try parser.next() { node.received(value, from: context.channel) }
        } catch {
            context.close(promise: nil)
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        node.closed(context.channel)
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }
}
