import Synchronization

/// Decides which denials are logged. A limit has a number of lines per second, so that a flood costs neither disk nor
/// time. One client has at most ten of them, so that it doesn't hide the others.
package final class DenialSampler: Sendable {
    /// The most lines per second about one client.
    package static let mostOfOneClient = 10

    private struct Counter {
        var second: Int64 = .min
        var logged = 0
        var suppressed: UInt64 = 0
        var byClient: [UInt64: Int] = [:]
    }

    private let counters = Mutex<[Counter]>([])

    package init() {}

    /// Counts a denial.
    ///
    /// - Parameters:
    ///   - limit: the limit's slot.
    ///   - client: the client's hash.
    ///   - second: seconds since the Unix epoch.
    ///   - most: the most lines per second for the limit; 0 for none.
    /// - Returns: nil when the denial is not logged, else the number of the limit's denials left out since its last
    ///   line.
    package func admit(
        limit slot: Int, client: @autoclosure () -> UInt64, at second: Int64, most: Int
    ) -> UInt64? {
        counters.withLock { counters in
            if slot >= counters.count {
                counters += Array(repeating: Counter(), count: slot + 1 - counters.count)
            }
            if counters[slot].second != second {
                counters[slot].second = second
                counters[slot].logged = 0
                counters[slot].byClient.removeAll(keepingCapacity: true)
            }
            guard counters[slot].logged < most else {
                counters[slot].suppressed &+= 1
                return nil
            }
            let client = client()
            let ofClient = counters[slot].byClient[client, default: 0]
            guard ofClient < Self.mostOfOneClient else {
                counters[slot].suppressed &+= 1
                return nil
            }
            counters[slot].byClient[client] = ofClient + 1
            counters[slot].logged += 1
            defer { counters[slot].suppressed = 0 }
            return counters[slot].suppressed
        }
    }
}
