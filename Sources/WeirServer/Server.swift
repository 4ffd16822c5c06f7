public import Logging
public import ServiceLifecycle
import Weir
public import WeirHTTP

import Foundation
import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization
import WeirRedis

/// The gateway: takes requests on `listen`, decides them by the policy, and forwards those that pass.
///
/// One event loop for each thread. A request stays on the loop of its connection: the decision is made inline and the
/// upstream's connections are the loop's own, so nothing hops and nothing but the store is shared.
public final class Gateway: Service {
    private let settings: ServerSettings
    private let upstream: Upstream
    private let group: MultiThreadedEventLoopGroup
    private let loops: [NIOLoopBoundBox<GatewayLoop>]
    private let connectionLimits: ConnectionLimits
    private let current: Mutex<RequestLimiter>
    private let log: LineWriter?
    private let logger: Logger
    private let accepts = Atomic<Bool>(false)
    private let onListening: @Sendable (SocketAddress) -> Void

    /// Why the gateway can't start. Fit to be shown.
    public struct StartError: Error, Sendable, CustomStringConvertible {
        public let description: String
    }

    /// - Parameters:
    ///   - settings: the policy's server settings, with the environment's over them.
    ///   - limiter: what decides.
    ///   - logger: for what happens to the gateway.
    ///   - denials: for one line about each denial.
    ///   - log: what `denials` writes to, whose dropped lines are counted in the metrics.
    ///   - onListening: called with the address when connections are accepted.
    public init(
        settings: ServerSettings, limiter: RequestLimiter, logger: Logger, denials: Logger, log: LineWriter? = nil,
        onListening: @escaping @Sendable (_ host: String, _ port: Int) -> Void = { _, _ in }
    ) throws(StartError) {
        guard let url = settings.upstream else {
            throw StartError(description: "no upstream: set 'upstream' in the policy, or WEIR_UPSTREAM")
        }
        guard let upstream = Upstream(url) else {
            throw StartError(description: "'upstream' must be a URL such as http://127.0.0.1:8000, not '\(url)'")
        }
        self.settings = settings
        self.upstream = upstream
        self.logger = logger
        self.onListening = { address in onListening(address.ipAddress ?? "", address.port ?? 0) }
        group = MultiThreadedEventLoopGroup(numberOfThreads: settings.threads ?? System.coreCount)
        connectionLimits = ConnectionLimits(
            most: settings.maxConnections, mostForAddress: settings.maxConnectionsPerAddress)
        current = Mutex(limiter)
        self.log = log
        let limits = connectionLimits
        loops = group.makeIterator().map { loop in
            NIOLoopBoundBox.makeBoxSendingValue(
                GatewayLoop(
                    loop, settings: settings, upstream: upstream, limiter: limiter, denials: DenialLog(logger: denials),
                    connectionLimits: limits),
                eventLoop: loop)
        }
    }

    /// The policy in force.
    public var limiter: RequestLimiter { current.withLock { $0 } }

    /// Whether connections are accepted.
    public var isReady: Bool { accepts.load(ordering: .relaxed) }

    /// Puts another policy in force, for the requests that begin from now on.
    public func replace(_ limiter: RequestLimiter) {
        current.withLock { $0 = limiter }
        limiter.store.limitsDidChange()
        for loop in loops { loop.eventLoop.execute { loop.value.replace(limiter) } }
    }

    /// Makes the keys anew, after the store's secret for them has become another.
    public func renewKeys() {
        do {
            replace(try limiter.withNewKeys())
        } catch {
            // The policy is the one in force, so it can't be at fault.
            logger.error("the keys could not be made anew: \(error)")
        }
    }

    public func run() async throws {
        let listener: any Channel
        do {
            listener = try await listen()
        } catch {
            try? await group.shutdownGracefully()
            throw StartError(description: "can't listen on \(settings.listen): \(Self.reason(error))")
        }
        accepts.store(true, ordering: .relaxed)
        if let address = listener.localAddress { onListening(address) }
        let sweeps = startSweeping()
        try? await gracefulShutdown()
        accepts.store(false, ordering: .relaxed)
        logger.info("draining")
        try? await listener.close()
        await drain()
        for sweep in sweeps { sweep.cancel() }
        try? await group.shutdownGracefully()
    }

    private static func reason(_ error: any Error) -> String {
        (error as? IOError).map { String(cString: strerror($0.errnoCode)) } ?? "\(error)"
    }

    // MARK: Accept

    private func listen() async throws -> any Channel {
        guard let socket = SocketText(settings.listen) else {
            throw StartError(description: "it is not an address and a port")
        }
        let configure = configureConnection
        return try await ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: 1024)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .serverChannelOption(.maxMessagesPerRead, value: 16)
            .childChannelOption(.maxMessagesPerRead, value: 1)
            .childChannelOption(
                .recvAllocator, value: AdaptiveRecvByteBufferAllocator(minimum: 4096, initial: 8192, maximum: 65536)
            )
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try configure(channel) }
            }
            .bind(host: socket.host, port: socket.port)
            .get()
    }

    private var configureConnection: @Sendable (any Channel) throws -> Void {
        let loops = Dictionary(uniqueKeysWithValues: loops.map { (ObjectIdentifier($0.eventLoop), $0) })
        let limits = connectionLimits
        let most = settings.maxHeaderSize
        return { channel in
            guard let shared = loops[ObjectIdentifier(channel.eventLoop)]?.value,
                let peer = channel.remoteAddress?.ipAddress.flatMap({ IPAddress($0.prefix { $0 != "%" }) }),
                limits.admit(peer, isTrusted: shared.limiter.isTrusted(peer))
            else {
                channel.close(promise: nil)
                return
            }
            let flow = RequestFlow(shared, peer: PeerAddress(peer))
            var encoding = HTTPResponseEncoder.Configuration()
            encoding.automaticallySetFramingHeaders = false
            let decoder = HTTPRequestDecoder(
                leftOverBytesStrategy: .dropBytes, limitConfiguration: .weir(maxHeaderSize: most))
            try channel.pipeline.syncOperations.addHandlers(
                HeadStartWatch(flow),
                HTTPResponseEncoder(configuration: encoding),
                ByteToMessageHandler(decoder, maximumBufferSize: most + 65536),
                flow)
        }
    }

    // MARK: Keep house

    private func startSweeping() -> [RepeatedTask] {
        let slices = loops.count
        return loops.map { loop in
            loop.eventLoop.scheduleRepeatedTask(initialDelay: GatewayLoop.tickLength, delay: GatewayLoop.tickLength) {
                _ in
                loop.value.sweep()
                // All segments are looked at in about ten seconds, whatever their number.
                (loop.value.limiter.store as? MemoryStore)?.maintain(segments: 8192 / 20 / slices)
            }
        }
    }

    /// Waits until every request is answered, or the drain timeout has passed.
    private func drain() async {
        for loop in loops { loop.eventLoop.execute { loop.value.drain() } }
        let end = ContinuousClock.now + .microseconds(settings.drainTimeout)
        while ContinuousClock.now < end, connectionLimits.total > 0 {
            try? await Task.sleep(for: .milliseconds(20))
        }
        for loop in loops { loop.eventLoop.execute { loop.value.closeAll() } }
    }

    /// What all loops have counted.
    public func metrics() async -> String {
        var sum = LoopMetrics(limits: [])
        for loop in loops {
            let counted = try? await loop.eventLoop.submit {
                var counted = loop.value.metrics
                counted.connections = loop.value.connectionCount
                counted.delayed = loop.value.delayed
                return counted
            }.get()
            if let counted { sum.add(counted) }
        }
        let store = limiter.store
        return MetricsText(
            sum, store: (store as? MemoryStore)?.statistics, shared: (store as? RedisStore)?.statistics,
            droppedLogLines: log?.dropped ?? 0
        ).text
    }
}

extension NIOHTTPDecoderLimitConfiguration {
    fileprivate static func weir(maxHeaderSize: Int) -> NIOHTTPDecoderLimitConfiguration {
        var limits = NIOHTTPDecoderLimitConfiguration()
        limits.maxHeaderFieldSize = maxHeaderSize
        limits.maxHeaderListSize = maxHeaderSize
        limits.maxHeaderFieldCount = 200
        return limits
    }
}
