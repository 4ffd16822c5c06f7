// Measures what a decision on a shared store costs. Prints one number on a line; `run.py` pairs these with the peers'.
import Glibc
import Logging
import NIOCore
import NIOPosix
import Weir
import WeirHTTP
import WeirRedis

let usage = """
    usage: SharedStore rate URL IN-FLIGHT KEYS SECONDS [POLICY]   decisions a second, through a RequestLimiter
           SharedStore hot URL IN-FLIGHT SECONDS COUNT SYNC       decisions a second of one key, asked of the store itself
           SharedStore latency URL COUNT                          nanoseconds of one decision at a time
           SharedStore replay PORT FILE COUNT                     nanoseconds of a bare round trip of a file's bytes
    """

func nanoseconds() -> Int64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
}

struct Request: LimitableRequest {
    var key: String
    var method: String { "GET" }
    var target: String { "/v1/predict" }
    var host: String? { "api.example.com" }
    func forEachValue(of name: String, _ body: (String) -> Void) { if name == "X-API-Key" { body(key) } }
}

let usualPolicy = """
    client: [{header: X-API-Key}]
    limits: [{name: per-client, rate: 1000000/second}]
    """

/// Keeps a number of requests in flight; each is followed by the next as soon as it is answered. Everything runs on the
/// store's event loop.
final class Load: @unchecked Sendable {
    // Sendable, because it is touched on one event loop only.
    let limiter: RequestLimiter
    let keys: [String]
    let peer = IPAddress("192.0.2.1")!
    let end: Int64
    var random: UInt64 = 88_172_645_463_325_252
    var decided = 0
    var denied = 0
    var failed = 0
    var running = 0
    let done: EventLoopPromise<Void>

    let loop: any EventLoop

    init(_ limiter: RequestLimiter, keys: Int, seconds: Int, done: EventLoopPromise<Void>) {
        loop = done.futureResult.eventLoop
        self.limiter = limiter
        self.keys = (0..<keys).map { "client-\($0)" }
        self.done = done
        end = nanoseconds() + Int64(seconds) * 1_000_000_000
    }

    /// Requests that were answered at once for a while. They go on after the event loop, which the store shares, has
    /// served the store.
    private var rested: [Slot] = []

    func start(_ inFlight: Int) {
        for _ in 0..<inFlight {
            running += 1
            next(Slot(LimitedRequest(limiter)))
        }
        loop.scheduleRepeatedTask(initialDelay: .microseconds(50), delay: .microseconds(50)) { [self] task in
            if running == 0 { task.cancel() }
            let slots = rested
            rested.removeAll()
            for slot in slots { next(slot) }
        }
    }

    final class Slot: @unchecked Sendable {
        let request: LimitedRequest
        init(_ request: LimitedRequest) { self.request = request }
    }

    func next(_ slot: Slot) {
        var atOnce = 0
        // With answers that come at once, recursion would never end.
        while true {
            if decided & 63 == 0, nanoseconds() >= end {
                running -= 1
                if running == 0 { done.succeed() }
                return
            }
            random ^= random << 13
            random ^= random >> 7
            random ^= random << 17
            let request = Request(key: keys[Int(truncatingIfNeeded: random >> 20) % keys.count])
            switch slot.request.begin(request, on: limiter, peer: peer) {
            case .pending(let answer):
                answer.whenComplete { [self] result in
                    if case .failure = result { failed += 1 }
                    count(.verdict(slot.request.resume(decisions: result)))
                    next(slot)
                }
                return
            case let step:
                count(step)
                atOnce += 1
                guard atOnce >= 64 else { continue }
                rested.append(slot)
                return
            }
        }
    }

    private func count(_ step: LimitedRequest.Step) {
        decided += 1
        if case .verdict(.answer) = step { denied += 1 }
    }
}

/// Asks the store itself about one key, with a number of requests in flight.
final class HotKey: @unchecked Sendable {
    // Sendable, because it is touched on one event loop only.
    let store: RedisStore
    let charges: [Charge]
    let end: Int64
    var decisions: [Decision] = []
    var decided = 0
    var running = 0
    let done: EventLoopPromise<Void>

    init(_ store: RedisStore, _ charge: Charge, seconds: Int, done: EventLoopPromise<Void>) {
        self.store = store
        charges = [charge]
        self.done = done
        end = nanoseconds() + Int64(seconds) * 1_000_000_000
    }

    /// How many requests were answered at once for a while. They go on after the event loop has served the store.
    private var rested = 0

    func start(_ inFlight: Int) {
        running = inFlight
        for _ in 0..<inFlight { next() }
        done.futureResult.eventLoop.scheduleRepeatedTask(
            initialDelay: .microseconds(50), delay: .microseconds(50)
        ) { [self] task in
            if running == 0 { task.cancel() }
            let count = rested
            rested = 0
            for _ in 0..<count { next() }
        }
    }

    private func next() {
        var atOnce = 0
        while true {
            if decided & 63 == 0, nanoseconds() >= end {
                running -= 1
                if running == 0 { done.succeed() }
                return
            }
            if let answer = store.decide(charges, into: &decisions) {
                answer.whenComplete { [self] result in
                    guard case .success(let decisions) = result, decisions[0].isAllowed else { fatalError("\(result)") }
                    decided += 1
                    next()
                }
                return
            }
            guard decisions[0].isAllowed else { fatalError("denied") }
            decided += 1
            atOnce += 1
            guard atOnce >= 64 else { continue }
            rested += 1
            return
        }
    }
}

func makeStore(_ url: String, on loop: any EventLoop) async throws -> RedisStore {
    var logger = Logger(label: "bench")
    logger.logLevel = .warning
    var options = try RedisConfiguration(url: url)
    options.decisionTimeout = .seconds(1)
    let store = try RedisStore(options, eventLoopGroup: loop, logger: logger)
    Task { try await store.run() }
    try await store.waitUntilReady(timeout: .seconds(5))
    return store
}

let arguments = CommandLine.arguments
let loop = MultiThreadedEventLoopGroup(numberOfThreads: 1).next()
switch (arguments.dropFirst().first, arguments.count) {
case ("rate", 6...7):
    guard let inFlight = Int(arguments[3]), let keys = Int(arguments[4]), let seconds = Int(arguments[5]) else {
        exit(64)
    }
    let reading = Policy.read(arguments.count > 6 ? arguments[6] : usualPolicy, file: "policy")
    guard let policy = reading.policy else { fatalError("\(reading.diagnostics)") }
    let store = try await makeStore(arguments[2], on: loop)
    let limiter = try RequestLimiter(policy: policy, store: store)
    // Prefetching starts only when all instances have known each other for a while.
    while policy.limits.contains(where: { $0.sync == .leased }), !store.statistics.canBorrow {
        try await Task.sleep(for: .milliseconds(100))
    }
    let done = loop.makePromise(of: Void.self)
    let start = nanoseconds()
    let load = Load(limiter, keys: keys, seconds: seconds, done: done)
    loop.execute { load.start(inFlight) }
    try await done.futureResult.get()
    let elapsed = Double(nanoseconds() - start) / 1e9
    guard load.failed == 0 else { fatalError("\(load.failed) of \(load.decided) failed") }
    print(
        "decided \(load.decided) denied \(load.denied) locally \(store.statistics.answeredLocally + store.statistics.leased)"
    )
    print(Double(load.decided) / elapsed)
case ("hot", 7):
    guard let inFlight = Int(arguments[3]), let seconds = Int(arguments[4]), let count = Int64(arguments[5]) else {
        exit(64)
    }
    let store = try await makeStore(arguments[2], on: loop)
    let isLeased = arguments[6] == "leased"
    while isLeased, !store.statistics.canBorrow { try await Task.sleep(for: .milliseconds(100)) }
    let limit = try Limit("hot", .perSecond(count))
    let charge = SharedLimiter(limit, store: store, prefetches: isLeased).question("everybody's")
    let done = loop.makePromise(of: Void.self)
    let start = nanoseconds()
    let load = HotKey(store, charge, seconds: seconds, done: done)
    loop.execute { load.start(inFlight) }
    try await done.futureResult.get()
    print("decided \(load.decided) denied 0 locally \(store.statistics.leased)")
    print(Double(load.decided) / (Double(nanoseconds() - start) / 1e9))
case ("latency", 4):
    guard let count = Int(arguments[3]) else { exit(64) }
    guard let policy = Policy.read(usualPolicy, file: "policy").policy else { exit(70) }
    let store = try await makeStore(arguments[2], on: loop)
    let limiter = try RequestLimiter(policy: policy, store: store)
    let done = loop.makePromise(of: Void.self)
    let load = Load(limiter, keys: 1, seconds: 3600, done: done)
    for round in 0..<2 {
        let start = nanoseconds()
        let count = round == 0 ? 1000 : count
        let finished = loop.makePromise(of: Void.self)
        loop.execute { one(load, Load.Slot(LimitedRequest(limiter)), count, finished) }
        try await finished.futureResult.get()
        if round == 1 { print(Double(nanoseconds() - start) / Double(count)) }
    }
    done.succeed()
case ("replay", 5):
    guard let port = UInt16(arguments[2]), let count = Int(arguments[4]) else { exit(64) }
    print(try replay(port: port, file: arguments[3], count: count))
default:
    print(usage)
    exit(64)
}

func one(_ load: Load, _ slot: Load.Slot, _ left: Int, _ done: EventLoopPromise<Void>) {
    guard left > 0 else { return done.succeed() }
    guard case .pending(let answer) = slot.request.begin(Request(key: "a"), on: load.limiter, peer: load.peer) else {
        fatalError("the store should be asked")
    }
    answer.whenComplete { result in
        guard case .success = result else { fatalError("\(result)") }
        _ = slot.request.resume(decisions: result)
        one(load, slot, left - 1, done)
    }
}

/// Repeatedly sends a command's bytes over a plain blocking socket and waits for the answer.
func replay(port: UInt16, file: String, count: Int) throws -> Double {
    guard let input = fopen(file, "r") else { fatalError("can't read \(file)") }
    var bytes = [UInt8](repeating: 0, count: 65_536)
    let length = fread(&bytes, 1, bytes.count, input)
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = inet_addr("127.0.0.1")
    address.sin_port = port.bigEndian
    let connected = withUnsafePointer(to: &address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
        }
    }
    guard connected == 0 else { fatalError("can't connect") }
    var on: Int32 = 1
    setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &on, socklen_t(MemoryLayout<Int32>.size))
    var answer = [UInt8](repeating: 0, count: 4096)
    let start = nanoseconds()
    for _ in 0..<count {
        guard send(descriptor, bytes, length, 0) == length, recv(descriptor, &answer, answer.count, 0) > 0 else {
            fatalError("no answer")
        }
        guard answer[0] == UInt8(ascii: "$") else { fatalError(String(decoding: answer.prefix(80), as: UTF8.self)) }
    }
    return Double(nanoseconds() - start) / Double(count)
}
