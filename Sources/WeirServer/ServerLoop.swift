import Logging
import NIOCore
import Weir
import WeirHTTP

/// What the connections of one event loop share. It is touched on that loop only, so nothing in it is locked.
final class GatewayLoop {
    let loop: any EventLoop
    let settings: ServerSettings
    let denials: DenialLog
    let connectionLimits: ConnectionLimits
    private(set) var limiter: RequestLimiter
    private(set) var forwardedHeader: ForwardedHeader
    let responseRules = HeaderRules(HeaderRules.hopByHop)
    /// The headers that Weir writes; an upstream's own of the same name would contradict them.
    private(set) var limitHeaderRules: HeaderRules
    let upstream: Upstream
    let pool: UpstreamPool
    var metrics: LoopMetrics
    private var flows: [ObjectIdentifier: RequestFlow] = [:]
    /// Counts the sweeps; deadlines are measured in it, so that no request reads a clock for them.
    private(set) var tick = 0
    private(set) var isDraining = false
    /// Requests held by a leaky bucket.
    var delayed = 0

    static let tickLength: TimeAmount = .milliseconds(500)

    init(
        _ loop: any EventLoop, settings: ServerSettings, upstream: Upstream, limiter: RequestLimiter,
        denials: DenialLog,
        connectionLimits: ConnectionLimits
    ) {
        self.loop = loop
        self.settings = settings
        self.upstream = upstream
        self.limiter = limiter
        self.denials = denials
        self.connectionLimits = connectionLimits
        forwardedHeader = ForwardedHeader(limiter)
        limitHeaderRules = HeaderRules(limiter.policy.headers.names)
        metrics = LoopMetrics(limits: limiter.limitNames)
        pool = UpstreamPool(
            upstream, loop: loop, connectTimeout: .microseconds(settings.connectTimeout))
    }

    /// How many ticks a timeout is, at least one whole tick.
    static func ticks(_ microseconds: Timestamp) -> Int {
        Int(clamping: (microseconds + 499_999) / 500_000 + 1)
    }

    func replace(_ limiter: RequestLimiter) {
        self.limiter = limiter
        forwardedHeader = ForwardedHeader(limiter)
        limitHeaderRules = HeaderRules(limiter.policy.headers.names)
        metrics.rename(limits: limiter.limitNames)
    }

    func add(_ flow: RequestFlow) { flows[ObjectIdentifier(flow)] = flow }
    func remove(_ flow: RequestFlow) { flows[ObjectIdentifier(flow)] = nil }

    var connectionCount: Int { flows.count }

    /// Ends what has passed its deadline.
    func sweep() {
        tick += 1
        pool.sweep(tick: tick)
        for flow in Array(flows.values) where flow.deadline <= tick { flow.deadlinePassed() }
    }

    /// Closes what is idle; what is at work is closed when it is done.
    func drain() {
        isDraining = true
        for flow in Array(flows.values) { flow.drain() }
        pool.closeAll()
    }

    func closeAll() {
        for flow in Array(flows.values) { flow.closeNow() }
        pool.closeAll()
    }
}
