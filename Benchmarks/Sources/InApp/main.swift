// Measures what the middleware costs a Hummingbird app. `run.py` loads the routes in turn.
import CAllocations
import Glibc
import Hummingbird
import Logging
import NIOCore
import NIOEmbedded
import NIOPosix
import Weir
import WeirHTTP
import WeirHummingbird
import WeirRedis

let usage = """
    usage: InApp serve PORT [REDIS-URL]   routes: /plain, /limited, /hop; with a Redis /shared, /leased
           InApp allocations COUNT        allocations that the middleware adds to a request
           InApp requests PATH COUNT      takes requests of one route, for counting their instructions with callgrind
    """

func policy(isLeased: Bool = false) throws -> Policy {
    var rule = try LimitRule("per-client", Rate(1_000_000_000, per: .seconds(1)))
    rule.sync = isLeased ? .leased : .exact
    return try Policy(limits: [rule])
}

func addRoutes(_ router: Router<RemoteAddressContext>, _ shared: (any Store)?) throws {
    let answer: @Sendable (Request, RemoteAddressContext) async throws -> String = { _, _ in "hello, world" }
    router.get("plain", use: answer)
    router.group().add(middleware: RateLimitMiddleware(try RequestLimiter(policy: policy()))).get(
        "limited", use: answer)
    // Shows what any answer from another thread costs.
    let loop = MultiThreadedEventLoopGroup.singleton.next()
    router.get("hop") { _, _ -> String in
        try await loop.submit { "hello, world" }.get()
    }
    guard let shared else { return }
    for (path, isLeased) in [("shared", false), ("leased", true)] {
        let limiter = try RequestLimiter(policy: policy(isLeased: isLeased), store: shared)
        router.group().add(middleware: RateLimitMiddleware(limiter)).get(RouterPath(path), use: answer)
    }
}

var logger = Logger(label: "bench")
logger.logLevel = .critical
let arguments = CommandLine.arguments
let router = Router(context: RemoteAddressContext.self)
switch (arguments.dropFirst().first, arguments.count) {
case ("serve", 3...4):
    guard let port = Int(arguments[2]) else { exit(64) }
    var store: RedisStore?
    if arguments.count > 3 {
        var options = try RedisConfiguration(url: arguments[3])
        options.decisionTimeout = .seconds(1)
        let redis = try RedisStore(options, logger: logger)
        Task { try await redis.run() }
        try await redis.waitUntilReady(timeout: .seconds(5))
        store = redis
    }
    try addRoutes(router, store)
    let app = Application(
        router: router, configuration: .init(address: .hostname("127.0.0.1", port: port)), logger: logger)
    try await app.runService()
case ("requests", 4):
    guard let count = Int(arguments[3]) else { exit(64) }
    try addRoutes(router, nil)
    let responder = router.buildResponder()
    let channel = NIOAsyncTestingChannel()
    try await channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1))
    let head = HTTPRequest(method: .get, scheme: "http", authority: "localhost", path: arguments[2])
    for _ in 0..<count {
        let context = RemoteAddressContext(source: .init(channel: channel, logger: logger))
        let request = Request(head: head, body: .init(buffer: ByteBuffer()))
        guard try await responder.respond(to: request, context: context).status == .ok else { exit(70) }
    }
case ("allocations", 3):
    guard let count = Int(arguments[2]) else { exit(64) }
    try addRoutes(router, nil)
    let responder = router.buildResponder()
    let channel = NIOAsyncTestingChannel()
    try await channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1))
    func measure(_ path: String) async throws -> Double {
        let head = HTTPRequest(method: .get, scheme: "http", authority: "localhost", path: path)
        func run(_ count: Int) async throws {
            for _ in 0..<count {
                let context = RemoteAddressContext(source: .init(channel: channel, logger: logger))
                let request = Request(head: head, body: .init(buffer: ByteBuffer()))
                guard try await responder.respond(to: request, context: context).status == .ok else { exit(70) }
            }
        }
        try await run(1000)
        count_allocations()
        let before = allocations()
        try await run(count)
        return Double(allocations() - before) / Double(count)
    }
    let plain = try await measure("/plain")
    let limited = try await measure("/limited")
    print("plain \(plain), limited \(limited)")
    print(limited - plain)
default:
    print(usage)
    exit(64)
}
