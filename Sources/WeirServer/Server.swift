package import Logging
import ServiceLifecycle
import Weir
package import WeirHTTP

import NIOCore
import NIOPosix
import Synchronization

/// The server: accepts requests on `listen`, decides them by the policy, and forwards those that pass.
///
/// There is one event loop per thread. A request stays on its connection's loop: decisions are made inline, and each
/// loop has its own connections to the upstream. Only the store is shared between loops.
package final class Server: Service {
    private let settings: GatewaySettings
    private let upstream: Upstream
    private let policy: PolicyInForce
    private let group: MultiThreadedEventLoopGroup
    private let loops: [NIOLoopBoundBox<ServerLoop>]
    private let connectionLimits: ConnectionLimits
    private let places: SharedRoom
    private let log: LineWriter
    private let logger: Logger
    private let accepts = Atomic<Bool>(false)
    private let onListening: @Sendable ([ListeningAddress]) -> Void

    /// An address that accepts connections.
    package struct ListeningAddress: Sendable {
        /// Where clients connect, such as `https://127.0.0.1:8443` or `unix:/run/weir.sock`.
        package let name: String
        /// The port; 0 for a Unix socket.
        package let port: Int
    }

    /// - Parameters:
    ///   - settings: the policy's server settings, overridden by the environment.
    ///   - limiter: the first policy in force.
    ///   - certificates: the certificates for TLS; nil for none.
    ///   - logger: logs the server's own events.
    ///   - log: writes the lines about denials.
    ///   - onListening: called with the addresses once connections are accepted.
    /// - Throws: ``StartError`` when there is no upstream.
    package init(
        settings: GatewaySettings, limiter: RequestLimiter, certificates: ServerCertificates? = nil, logger: Logger,
        log: LineWriter, onListening: @escaping @Sendable ([ListeningAddress]) -> Void = { _ in }
    ) throws(StartError) {
        guard let url = settings.upstream else {
            throw StartError(.noUpstream, "no upstream: set 'upstream' in the policy, or WEIR_UPSTREAM")
        }
        guard let upstream = Upstream(url) else {
            throw StartError(
                .noUpstream, "'upstream' must be a URL such as http://127.0.0.1:8000, not '\(url)'")
        }
        self.settings = settings
        self.upstream = upstream
        self.logger = logger
        self.log = log
        self.onListening = onListening
        let policy = PolicyInForce(limiter, certificates: certificates)
        let descriptors = DescriptorLimit.raise()
        let most = min(settings.maxConnections, DescriptorLimit.mostConnections(with: descriptors))
        if most < settings.maxConnections {
            logger.notice(
                "at most \(most) connections are served, not \(settings.maxConnections): the process may open \(descriptors) files; raise 'ulimit -n'"
            )
        }
        let limits = ConnectionLimits(most: most, mostForAddress: settings.maxConnectionsPerAddress)
        let places = SharedRoom(most: limiter.policy.maxDelayed)
        let bodyMemory = SharedRoom(most: limiter.policy.bodyMemory)
        let denials = DenialLog(log)
        let failures = FailureLog(log)
        group = MultiThreadedEventLoopGroup(numberOfThreads: settings.threads ?? System.coreCount)
        loops = group.makeIterator().map { loop in
            NIOLoopBoundBox.makeBoxSendingValue(
                ServerLoop(
                    loop, settings: settings, upstream: upstream, policy: policy.view,
                    denials: denials, failures: failures, connectionLimits: limits, places: places,
                    bodyMemory: bodyMemory),
                eventLoop: loop)
        }
        self.policy = policy
        connectionLimits = limits
        self.places = places
        policy.onChange { [loops] view in
            for loop in loops { loop.eventLoop.execute { loop.value.use(view) } }
        }
    }

    /// The policy in force.
    package var limiter: RequestLimiter { policy.limiter }

    /// Whether connections are accepted.
    package var isReady: Bool { accepts.load(ordering: .relaxed) }

    /// Replaces the policy, for requests that begin from now on.
    ///
    /// - Parameter certificates: the certificates for connections that begin from now on; nil to keep those in use.
    package func replace(_ limiter: RequestLimiter, certificates: ServerCertificates? = nil) {
        policy.replace(limiter, certificates: certificates)
    }

    /// The certificates in use; nil for none.
    var certificates: ServerCertificates? { policy.view.certificates }

    /// Makes the keys again after the store's key secret has changed.
    package func renewKeys() {
        do {
            replace(try limiter.withNewKeys())
        } catch {
            // The policy is already in force, so it can't be at fault.
            logger.error("the keys could not be made again: \(error)")
        }
    }

    /// Serves until graceful shutdown, then finishes the requests in progress, for at most `drain_timeout`.
    ///
    /// - Throws: ``StartError`` when it can't listen.
    package func run() async throws {
        var listeners: [OpenListener] = []
        do {
            for address in settings.listen {
                listeners += try await Listener(address, pipeline: pipeline, settings: settings, logger: logger)
                    .open(on: group)
            }
        } catch {
            for listener in listeners { await listener.close() }
            try? await group.shutdownGracefully()
            throw error
        }
        accepts.store(true, ordering: .relaxed)
        onListening(listeners.map { ListeningAddress(name: $0.name, port: $0.port) })
        let sweeps = startSweeping()
        try? await gracefulShutdown()
        accepts.store(false, ordering: .relaxed)
        logger.info("draining")
        for listener in listeners { await listener.close() }
        await drain()
        for sweep in sweeps { sweep.cancel() }
        try? await group.shutdownGracefully()
    }

    private var pipeline: ClientPipeline {
        ClientPipeline(loops: loops, limits: connectionLimits, settings: settings)
    }

    private func startSweeping() -> [RepeatedTask] {
        let slices = loops.count
        return loops.map { loop in
            loop.eventLoop.scheduleRepeatedTask(initialDelay: ServerLoop.tickLength, delay: ServerLoop.tickLength) {
                _ in
                loop.value.sweep()
                // With twenty ticks, the whole store is maintained in ten seconds, whatever the number of loops.
                loop.value.policy.limiter.maintain(share: 20 * slices)
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

    /// The counters of all loops, in the Prometheus text format.
    package func metrics() async -> String {
        var sum = LoopMetrics()
        for loop in loops {
            let counted = try? await loop.eventLoop.submit {
                var counted = loop.value.metrics
                counted.connections = loop.value.connectionCount
                counted.streams = loop.value.streamCount
                return counted
            }.get()
            if let counted { sum.add(counted) }
        }
        sum.delayed = places.count
        return MetricsText(
            sum, limits: policy.limitNames, certificates: certificates?.expiries ?? [], store: limiter.store.report,
            droppedLogLines: log.dropped
        ).text
    }
}
