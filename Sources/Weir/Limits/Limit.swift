/// A limit: a name, an algorithm and its numbers.
///
/// | algorithm | promise |
/// |---|---|
/// | token bucket | admitted ≤ burst + rate × Δ over any Δ |
/// | fixed window | ≤ n in each window, ≤ 2n in any period |
/// | sliding log | ≤ n in any period, exactly; memory grows with n |
/// | sliding window | < 2n in any period; smooth; may refuse a client that never exceeded n |
/// | leaky bucket | scheduled slots P/n apart, no request released before its slot |
/// | concurrency | at most n in flight |
///
/// Name, algorithm and period (with the key) are the identity of the state; the other
/// numbers may change while the state is kept, and judge it from then on.
public struct Limit: Sendable, Hashable {
    /// Letters, digits, `_` and `-`: it appears in headers and metrics.
    public let name: String
    public let numbers: LimitNumbers

    public var algorithm: Algorithm { numbers.algorithm }

    /// The longest that a leaky bucket may delay a request: 60 s.
    public static let longestWait: Timestamp = 60_000_000
    /// How long a leaky bucket delays a request unless told otherwise: 1 s.
    public static let defaultWait: Timestamp = 1_000_000

    /// A limit on a rate.
    ///
    /// - Parameters:
    ///   - name: 1 to 64 of `A-Za-z0-9_-`.
    ///   - rate: the count, period and burst.
    ///   - algorithm: any but ``Algorithm/concurrency``.
    ///   - maxWait: for a leaky bucket, microseconds, 0 to 60 s.
    ///   - alignment: for a fixed window.
    /// - Throws: ``LimitError``.
    public init(
        _ name: String,
        _ rate: Rate,
        algorithm: Algorithm = .tokenBucket,
        maxWait: Timestamp = Limit.defaultWait,
        alignment: WindowAlignment = .epoch
    ) throws(LimitError) {
        try Self.check(name: name)
        guard !algorithm.kind.holdsPermits else {
            throw LimitError("limit \(name): concurrency takes a number of requests in flight, not a rate")
        }
        guard maxWait >= 0, maxWait <= Self.longestWait else {
            throw LimitError("limit \(name): max_wait must be 0 to 60 seconds")
        }
        self.name = name
        self.numbers = LimitNumbers(
            algorithm: algorithm,
            count: rate.count,
            period: rate.period,
            burst: algorithm.kind.option == .burst ? rate.burst : rate.count,
            maxWait: algorithm.kind.option == .maxWait ? maxWait : 0,
            alignment: algorithm.kind.option == .alignment ? alignment : .epoch
        )
    }

    /// At most `concurrency` requests in flight, 1 to 10^9.
    public init(_ name: String, concurrency: Int64) throws(LimitError) {
        try Self.check(name: name)
        guard concurrency >= 1, concurrency <= Rate.largestCount else {
            throw LimitError("limit \(name): a concurrency limit must be 1 to 1000000000, not \(concurrency)")
        }
        self.name = name
        self.numbers = LimitNumbers(
            algorithm: .concurrency,
            count: concurrency,
            period: 0,
            burst: concurrency
        )
    }

    /// What tells this limit's state from every other limit's, apart from the key.
    public var identity: String { "\(name)\u{0}\(algorithm.rawValue)\u{0}\(numbers.period)" }

    /// Whether a name may stand in headers, metrics and keys.
    public static func isValid(name: String) -> Bool {
        (1...64).contains(name.utf8.count)
            && name.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "-"):
                    true
                default: false
                }
            }
    }

    private static func check(name: String) throws(LimitError) {
        guard isValid(name: name) else {
            throw LimitError("a limit's name must be 1 to 64 letters, digits, '_' or '-', not \(name.debugDescription)")
        }
    }
}
