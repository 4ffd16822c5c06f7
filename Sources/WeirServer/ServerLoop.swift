import NIOCore
import Weir
import WeirHTTP

/// State shared by the connections and exchanges of one event loop. Only that loop touches it, so it needs no lock.
final class ServerLoop {
    let eventLoop: any EventLoop
    let settings: GatewaySettings
    let upstream: Upstream
    let pool: ConnectionPool
    let denials: DenialLog
    let failures: FailureLog
    let connectionLimits: ConnectionLimits
    /// The places for requests that a leaky bucket delays.
    let places: SharedRoom
    /// The memory for bodies that are read before their request is decided.
    let bodyMemory: SharedRoom
    /// The policy for exchanges that begin now.
    private(set) var policy: PolicyView
    var metrics = LoopMetrics()
    /// The number of sweeps. Deadlines are measured in ticks, so that requests need not read a clock for them.
    private(set) var tick = 0
    private(set) var isDraining = false
    /// The present time for `Date`, to about a second.
    private(set) var date = ServerLoop.presentDate
    private var connections: [ObjectIdentifier: any ClientConnection] = [:]
    /// Exchanges that are free for a new request.
    private var spare: [Exchange] = []
    private var memory = MemoryRelease()

    static let tickLength: TimeAmount = .milliseconds(500)
    private static let mostSpare = 256

    init(
        _ eventLoop: any EventLoop, settings: GatewaySettings, upstream: Upstream, policy: PolicyView,
        denials: DenialLog, failures: FailureLog, connectionLimits: ConnectionLimits, places: SharedRoom,
        bodyMemory: SharedRoom
    ) {
        self.eventLoop = eventLoop
        self.settings = settings
        self.upstream = upstream
        self.policy = policy
        self.denials = denials
        self.failures = failures
        self.connectionLimits = connectionLimits
        self.places = places
        self.bodyMemory = bodyMemory
        pool = ConnectionPool(
            upstream, eventLoop: eventLoop, connectTimeout: .microseconds(settings.connectTimeout),
            longestLife: Self.ticks(settings.maxConnectionAge))
    }

    /// A timeout in ticks, at least one.
    static func ticks(_ microseconds: Timestamp) -> Int {
        Int(clamping: (microseconds + 499_999) / 500_000 + 1)
    }

    /// The tick by which a timeout that begins now has passed.
    func deadline(in microseconds: Timestamp) -> Int { tick + Self.ticks(microseconds) }

    private static var presentDate: String { TimeText.httpDate(of: SystemClock().timestamp) }

    /// Uses the policy for exchanges that begin from now on.
    func use(_ policy: PolicyView) {
        self.policy = policy
        // Each one keeps the policy of its last request.
        spare = []
    }

    // MARK: Exchanges

    func takeExchange() -> Exchange { spare.popLast() ?? Exchange(self) }

    func takeBack(_ exchange: Exchange) {
        if spare.count < Self.mostSpare { spare.append(exchange) }
    }

    // MARK: Connections

    func add(_ connection: any ClientConnection) {
        connections[ObjectIdentifier(connection)] = connection
        // It was accepted just before the listener closed.
        if isDraining { connection.drain() }
    }

    func remove(_ connection: any ClientConnection) { connections[ObjectIdentifier(connection)] = nil }

    var connectionCount: Int { connections.count }

    var streamCount: Int { connections.values.reduce(0) { $0 + $1.streamCount } }

    /// Ends everything that has passed its deadline.
    func sweep() {
        tick += 1
        date = Self.presentDate
        pool.sweep(tick: tick)
        for connection in Array(connections.values) { connection.endIfOverdue(at: tick) }
        if memory.isDue(connections: connections.count) { MemoryRelease.start() }
    }

    /// Closes idle connections now, and busy ones when they are done.
    func drain() {
        isDraining = true
        for connection in Array(connections.values) { connection.drain() }
        pool.closeAll()
    }

    func closeAll() {
        for connection in Array(connections.values) { connection.closeNow() }
        pool.closeAll()
    }
}
