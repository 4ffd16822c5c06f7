import Weir
import WeirHTTP

/// What one event loop has counted. Plain numbers: it is touched on that loop only, and added up when somebody asks.
struct LoopMetrics: Sendable {
    struct LimitCounts: Sendable {
        var allowed: UInt64 = 0
        var denied: UInt64 = 0
        var shadowDenied: UInt64 = 0
    }

    private(set) var limits: [String: LimitCounts] = [:]
    private var current: [LimitCounts]
    private var names: [String]
    /// Responses by status class: 1xx to 5xx at 1 to 5.
    private(set) var responses = [UInt64](repeating: 0, count: 6)
    /// Of Weir's own answers, those that were not denials.
    private(set) var refused: [Int: UInt64] = [:]
    /// Requests decided without the store, by the failure's code.
    private(set) var storeFailures: [String: UInt64] = [:]
    private(set) var upstreamFailures: UInt64 = 0
    private(set) var decisionTime = Histogram()
    var connections = 0
    var delayed = 0

    init(limits: [String]) {
        names = limits
        current = Array(repeating: LimitCounts(), count: limits.count)
    }

    /// Keeps the counts of the policy before, by name.
    mutating func rename(limits: [String]) {
        flush()
        names = limits
        current = Array(repeating: LimitCounts(), count: limits.count)
    }

    private mutating func flush() {
        for (index, counts) in current.enumerated() { limits[names[index], default: LimitCounts()].add(counts) }
        current = Array(repeating: LimitCounts(), count: names.count)
    }

    /// All counts by limit.
    func byLimit() -> [String: LimitCounts] {
        var copy = self
        copy.flush()
        return copy.limits
    }

    @inline(__always)
    mutating func count(_ outcome: LimitedRequest.Outcome) {
        guard outcome.rule < current.count else { return }
        if outcome.allowed {
            current[outcome.rule].allowed += 1
        } else if outcome.isShadow {
            current[outcome.rule].shadowDenied += 1
        } else {
            current[outcome.rule].denied += 1
        }
    }

    @inline(__always)
    mutating func count(decisionNanoseconds: Int64) { decisionTime.count(decisionNanoseconds) }

    @inline(__always)
    mutating func count(status: Int) { responses[max(0, min(5, status / 100))] += 1 }

    mutating func countStoreFailure(_ failure: StoreFailure) { storeFailures[failure.code.rawValue, default: 0] += 1 }
    mutating func countRefused(_ status: Int) { refused[status, default: 0] += 1 }
    mutating func countUpstreamFailure() { upstreamFailures += 1 }

    mutating func add(_ other: LoopMetrics) {
        for (name, counts) in other.byLimit() { limits[name, default: LimitCounts()].add(counts) }
        for index in responses.indices { responses[index] += other.responses[index] }
        for (code, count) in other.storeFailures { storeFailures[code, default: 0] += count }
        for (status, count) in other.refused { refused[status, default: 0] += count }
        upstreamFailures += other.upstreamFailures
        decisionTime.add(other.decisionTime)
        connections += other.connections
        delayed += other.delayed
    }
}

extension LoopMetrics.LimitCounts {
    mutating func add(_ other: LoopMetrics.LimitCounts) {
        allowed += other.allowed
        denied += other.denied
        shadowDenied += other.shadowDenied
    }
}

/// How long decisions took, in buckets that double from a quarter of a microsecond.
struct Histogram: Sendable {
    static let bounds: [Int64] = (0..<18).map { 250 << $0 }

    private(set) var counts = [UInt64](repeating: 0, count: bounds.count + 1)
    private(set) var sum: Int64 = 0

    var total: UInt64 { counts.reduce(0, +) }

    mutating func count(_ nanoseconds: Int64) {
        var bucket = 0
        while bucket < Self.bounds.count, nanoseconds > Self.bounds[bucket] { bucket += 1 }
        counts[bucket] += 1
        sum &+= nanoseconds
    }

    mutating func add(_ other: Histogram) {
        for index in counts.indices { counts[index] += other.counts[index] }
        sum &+= other.sum
    }
}
