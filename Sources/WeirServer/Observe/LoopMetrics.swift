import Weir
import WeirHTTP

/// The counters of one event loop. They are plain numbers, because only that loop touches them; a scrape adds them up.
struct LoopMetrics: Sendable {
    struct LimitCounts: Sendable {
        var allowed: UInt64 = 0
        var denied: UInt64 = 0
        var shadowDenied: UInt64 = 0
        /// Denials that were not logged.
        var suppressed: UInt64 = 0
    }

    struct UnknownCost: Hashable, Sendable {
        let slot: Int
        let reason: String
    }

    /// Counts by the limits' slots, which stay the same across policies.
    private(set) var limits: [LimitCounts] = []
    /// Responses by status class, with 1xx to 5xx at indices 1 to 5.
    private(set) var responses = [UInt64](repeating: 0, count: 6)
    /// Weir's own answers other than denials, by status.
    private(set) var rejected: [Int: UInt64] = [:]
    /// Requests decided without the store, by the failure's code.
    private(set) var storeFailures: [String: UInt64] = [:]
    private(set) var upstreamFailures: UInt64 = 0
    /// Responses that should have said their cost and did not, by the limit's slot and the reason.
    private(set) var unknownCosts: [UnknownCost: UInt64] = [:]
    private(set) var refusedConnections: UInt64 = 0
    private(set) var ignoredAddresses: UInt64 = 0
    private(set) var failedHandshakes: UInt64 = 0
    private(set) var brokenHTTP2Connections: UInt64 = 0
    private(set) var brokenHTTP2Streams: UInt64 = 0
    private(set) var decisionTime = Histogram()
    var connections = 0
    var streams = 0
    var delayed = 0

    @inline(__always)
    mutating func count(_ outcome: LimitedRequest.Outcome, _ policy: PolicyView) {
        let slot = policy.slots[outcome.rule]
        if slot >= limits.count { makeRoom(for: slot) }
        if outcome.allowed {
            limits[slot].allowed += 1
        } else if outcome.isShadow {
            limits[slot].shadowDenied += 1
        } else {
            limits[slot].denied += 1
        }
    }

    mutating func countSuppressed(rule: Int, _ policy: PolicyView) {
        let slot = policy.slots[rule]
        if slot >= limits.count { makeRoom(for: slot) }
        limits[slot].suppressed += 1
    }

    mutating func countUnknownCost(rule: Int, _ reason: String, _ policy: PolicyView) {
        unknownCosts[UnknownCost(slot: policy.slots[rule], reason: reason), default: 0] += 1
    }

    private mutating func makeRoom(for slot: Int) {
        limits += Array(repeating: LimitCounts(), count: slot + 1 - limits.count)
    }

    @inline(__always)
    mutating func count(decisionNanoseconds: Int64) { decisionTime.count(decisionNanoseconds) }

    @inline(__always)
    mutating func count(status: Int) { responses[max(0, min(5, status / 100))] += 1 }

    mutating func countStoreFailure(_ failure: StoreError) { storeFailures[failure.code.rawValue, default: 0] += 1 }
    mutating func countRejected(_ status: Int) { rejected[status, default: 0] += 1 }
    mutating func countUpstreamFailure() { upstreamFailures += 1 }
    mutating func countIgnoredAddress() { ignoredAddresses += 1 }
    mutating func countRefusedConnection() { refusedConnections += 1 }
    mutating func countFailedHandshake() { failedHandshakes += 1 }
    mutating func countBrokenHTTP2Connection() { brokenHTTP2Connections += 1 }
    mutating func countBrokenHTTP2Stream() { brokenHTTP2Streams += 1 }

    mutating func add(_ other: LoopMetrics) {
        if other.limits.count > limits.count { makeRoom(for: other.limits.count - 1) }
        for (slot, counts) in other.limits.enumerated() { limits[slot].add(counts) }
        for index in responses.indices { responses[index] += other.responses[index] }
        for (code, count) in other.storeFailures { storeFailures[code, default: 0] += count }
        for (status, count) in other.rejected { rejected[status, default: 0] += count }
        upstreamFailures += other.upstreamFailures
        for (cost, count) in other.unknownCosts { unknownCosts[cost, default: 0] += count }
        refusedConnections += other.refusedConnections
        ignoredAddresses += other.ignoredAddresses
        failedHandshakes += other.failedHandshakes
        brokenHTTP2Connections += other.brokenHTTP2Connections
        brokenHTTP2Streams += other.brokenHTTP2Streams
        decisionTime.add(other.decisionTime)
        connections += other.connections
        streams += other.streams
        delayed += other.delayed
    }
}

extension LoopMetrics.LimitCounts {
    mutating func add(_ other: LoopMetrics.LimitCounts) {
        allowed += other.allowed
        denied += other.denied
        shadowDenied += other.shadowDenied
        suppressed += other.suppressed
    }
}
