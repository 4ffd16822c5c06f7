// One of several processes that ask one store about one key, as fast as they can, and print what was admitted: the
// decision's time, its delay, and until when a permit was held, all in microseconds.
//
// usage: StoreProbe URL ALGORITHM COUNT PERIOD REQUESTS [leased]
//
// Leased, it waits until it may borrow. Every three seconds of its clock it asks a little, so that it holds prefetched
// units, waits until the limit has recovered, and then spends all that it can get. Last it prints how many charges it
// decided by prefetched units.
import Foundation
import Logging
import Weir
import WeirRedis

let arguments = CommandLine.arguments
guard (6...7).contains(arguments.count), let algorithm = Algorithm(rawValue: arguments[2]),
    let count = Int64(arguments[3]),
    let period = Int64(arguments[4]), let requests = Int(arguments[5])
else { exit(64) }
let isLeased = arguments.last == "leased"

let limit =
    algorithm == .concurrency
    ? try Limit("probe", concurrency: count)
    : try Limit("probe", Rate(count, perTicks: period), algorithm: algorithm, maxWait: .microseconds(period))
var options = try RedisConfiguration(url: arguments[1])
options.decisionTimeout = .seconds(5)
options.cachesDenials = false
options.heartbeat = .milliseconds(200)
var logger = Logger(label: "probe")
logger.logLevel = .critical
let store = try RedisStore(options, logger: logger)
store.start()
try await store.waitUntilReady(timeout: .seconds(20))
while isLeased, !store.statistics.canBorrow { try await Task.sleep(for: .milliseconds(10)) }
let hasher = store.keyHasher
let charge = Charge(
    limit.numbers, key: hasher.key("everybody's", seed: hasher.seed(for: limit.identity)), isLeased: isLeased)

func pause(before number: Int) async throws {
    if number == 0 { try await Task.sleep(for: .microseconds(3_000_000 - SystemClock().timestamp % 3_000_000)) }
    if number == 4 { try await Task.sleep(for: .milliseconds(600)) }
}

/// How many ask at once in this process.
let askers = 4
let lines = try await withThrowingTaskGroup(of: [String].self) { group in
    for _ in 0..<askers {
        group.addTask {
            var lines: [String] = []
            for number in 0..<(requests / askers) {
                if isLeased { try await pause(before: number % 100) }
                let decision = try await store.decide([charge])[0]
                guard decision.isAllowed else { continue }
                var heldUntil: Timestamp = 0
                if algorithm == .concurrency, let receipt = decision.receipt {
                    try await Task.sleep(for: .milliseconds(1))
                    heldUntil = SystemClock().timestamp
                    _ = try await store.apply(.refund(charge, receipt)).value
                }
                lines.append("\(decision.timestamp) \(decision.delayTicks) \(heldUntil)")
            }
            return lines
        }
    }
    var all: [String] = []
    for try await lines in group { all += lines }
    return all
}
print(lines.joined(separator: "\n"))
if isLeased { print(store.statistics.leased) }
