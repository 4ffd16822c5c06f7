/// A histogram of durations, in buckets that double from a quarter of a microsecond to half a minute.
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
