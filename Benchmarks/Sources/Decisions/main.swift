// Measures what one decision costs. Prints one number on a line: nanoseconds, bytes or a ratio. `run.py` pairs these
// with the peers' and reports the ratios.
import CAllocations
import Glibc
import Synchronization
import Weir
import WeirHTTP

let arguments = CommandLine.arguments
let usage =
    "usage: Decisions keys COUNT OPERATIONS | memory KEYS | threads KEYS OPERATIONS | spin OPERATIONS | rules COUNT OPERATIONS | allocations OPERATIONS"

/// The monotonic clock, in nanoseconds.
func nanoseconds() -> Int64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
}

/// The next number of a xorshift sequence. The Go peer uses the same one, so both take the same keys in the same order.
func next(_ state: inout UInt64) -> UInt64 {
    state ^= state << 13
    state ^= state >> 7
    state ^= state << 17
    return state
}

func key(_ index: Int) -> String {
    let digits = String(index)
    return "client-" + String(repeating: "0", count: 8 - digits.utf8.count) + digits
}

/// A limiter that allows everything a benchmark asks, so that the sum of `allowed` proves the work. Its keys stay
/// active for as long as the benchmark runs.
func makeLimiter(capacity: Int) throws -> Limiter {
    let limit = try Limit("bench", Rate(1_000_000, per: .seconds(3600), burst: 1_000_000_000))
    return Limiter(limit, store: MemoryStore(capacity: capacity))
}

@inline(never)
func decide(_ limiter: Limiter, _ keys: [String], _ operations: Int, seed: UInt64) -> Int {
    var state = seed
    var allowed = 0
    let mask = UInt64(keys.count)
    for _ in 0..<operations {
        let index = Int((next(&state) >> 11) % mask)
        if limiter.attempt(keys[index]).isAllowed { allowed += 1 }
    }
    return allowed
}

func residentBytes() -> Int {
    guard let file = fopen("/proc/self/statm", "r") else { return 0 }
    defer { fclose(file) }
    var size = 0
    var resident = 0
    withUnsafeMutablePointer(to: &size) { first in
        withUnsafeMutablePointer(to: &resident) { second in
            _ = withVaList([first, second]) { vfscanf(file, "%ld %ld", $0) }
        }
    }
    return resident * Int(sysconf(Int32(_SC_PAGESIZE)))
}

/// How many times as fast as one thread two threads do the work.
func speedup(_ operations: Int, _ work: @escaping @Sendable (Int) -> Void) -> Double {
    func elapsed(threads: Int) -> Double {
        let start = nanoseconds()
        var handles: [pthread_t] = []
        for thread in 0..<threads {
            var handle = pthread_t()
            let box = Unmanaged.passRetained(Box { work(thread) })
            pthread_create(
                &handle, nil,
                {
                    Unmanaged<Box>.fromOpaque($0!).takeRetainedValue().body(); return nil
                }, box.toOpaque())
            handles.append(handle)
        }
        for handle in handles { pthread_join(handle, nil) }
        return Double(nanoseconds() - start)
    }
    let one = elapsed(threads: 1)
    let two = elapsed(threads: 2)
    return 2 * one / two
}

final class Box {
    let body: @Sendable () -> Void
    init(_ body: @escaping @Sendable () -> Void) { self.body = body }
}

struct BenchmarkRequest: LimitableRequest {
    var method: String { "GET" }
    var target: String
    var host: String? { "api.example.com" }
    func forEachValue(of name: String, _ body: (String) -> Void) {}
}

/// The time that one request takes through a policy with that many rules, one of which matches it.
func nanosecondsToMatch(rules: Int, operations: Int) throws -> Double {
    var text = "limits:\n"
    for index in 0..<rules {
        text += "  - {name: rule-\(index), match: {path: /api/v1/model-\(index)/predict}, rate: 1000000000/second}\n"
    }
    let reading = Policy.read(text, file: "rules")
    guard let policy = reading.policy else { fatalError("\(reading.diagnostics)") }
    let limiter = try RequestLimiter(policy: policy)
    let request = LimitedRequest(limiter)
    guard let peer = IPAddress("192.0.2.1") else { return 0 }
    // Ten paths, spread evenly over the rules, however many there are.
    let requests = (0..<10).map { BenchmarkRequest(target: "/api/v1/model-\($0 * rules / 10)/predict") }
    var passed = 0
    let start = nanoseconds()
    for index in 0..<operations {
        if case .verdict(.pass) = request.begin(requests[index % 10], on: limiter, peer: peer) { passed += 1 }
    }
    let elapsed = nanoseconds() - start
    guard passed == operations, request.isLimited else { fatalError("\(passed) of \(operations) passed") }
    return Double(elapsed) / Double(operations)
}

/// Counts the allocations of one decision, in the engine alone and through a policy with three limits.
func printAllocations(operations: Int) throws {
    func count(_ body: () -> Void) -> Double {
        for _ in 0..<1000 { body() }
        count_allocations()
        let before = allocations()
        for _ in 0..<operations { body() }
        return Double(allocations() - before) / Double(operations)
    }
    let limiter = try makeLimiter(capacity: 1000)
    let ofLimiter = count { _ = limiter.attempt("client-00000001") }
    let reading = Policy.read(
        """
        limits:
          - {name: per-client, rate: 1000000000/second; 1000000000/minute}
          - {name: route, match: {path: "/v1/*"}, key: [client, route], rate: 1000000000/second, algorithm: fixed-window}
          - {name: address, key: [address], rate: 1000000000/second, algorithm: sliding-window}
        """, file: "allocations")
    guard let policy = reading.policy, let peer = IPAddress("192.0.2.1") else { fatalError("\(reading.diagnostics)") }
    let requests = try RequestLimiter(policy: policy)
    let request = LimitedRequest(requests)
    let test = BenchmarkRequest(target: "/v1/predict")
    let ofRequest = count { _ = request.begin(test, on: requests, peer: peer) }
    print("allocations of a decision: \(ofLimiter) by a Limiter, \(ofRequest) through a policy of three limits")
    guard ofLimiter == 0, ofRequest == 0 else { exit(1) }
}

switch (arguments.dropFirst().first, arguments.dropFirst(2).compactMap { Int($0) }) {
case ("keys", let numbers) where numbers.count == 2:
    let keys = (0..<numbers[0]).map(key)
    let limiter = try makeLimiter(capacity: max(1_000_000, numbers[0]))
    for key in keys { _ = limiter.attempt(key) }
    let start = nanoseconds()
    let allowed = decide(limiter, keys, numbers[1], seed: 88_172_645_463_325_252)
    let elapsed = nanoseconds() - start
    guard allowed == numbers[1] else { fatalError("\(allowed) of \(numbers[1]) allowed") }
    print(Double(elapsed) / Double(numbers[1]))
case ("memory", let numbers) where numbers.count == 1:
    // Active keys: none of them recovers within an hour.
    let limit = try Limit("bench", Rate(1, per: .seconds(3600)))
    let limiter = Limiter(limit, store: MemoryStore(capacity: numbers[0]))
    let before = residentBytes()
    for index in 0..<numbers[0] { _ = limiter.attempt(key(index)) }
    let after = residentBytes()
    guard limiter.store.statistics.keys == numbers[0] else { fatalError("keys were dropped") }
    print(Double(after - before) / Double(numbers[0]))
case ("threads", let numbers) where numbers.count == 2:
    let all = (0..<numbers[0]).map(key)
    let halves = [Array(all[..<(all.count / 2)]), Array(all[(all.count / 2)...])]
    let limiter = try makeLimiter(capacity: 1_000_000)
    print(speedup(numbers[1]) { _ = decide(limiter, halves[$0], numbers[1], seed: 99 + UInt64($0)) })
case ("spin", let numbers) where numbers.count == 1:
    print(
        speedup(numbers[0]) { thread in
            var state = UInt64(88_172_645 + thread)
            for _ in 0..<numbers[0] { _ = next(&state) }
            if state == 0 { print("never") }
        })
case ("rules", let numbers) where numbers.count == 2:
    print(try nanosecondsToMatch(rules: numbers[0], operations: numbers[1]))
case ("allocations", let numbers) where numbers.count == 1:
    try printAllocations(operations: numbers[0])
default:
    print(usage)
    exit(64)
}
