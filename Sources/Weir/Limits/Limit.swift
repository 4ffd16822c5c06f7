/// A limit: a name, an algorithm and its numbers.
///
/// | algorithm | promise |
/// |---|---|
/// | token bucket | admitted ≤ burst + rate × Δ over any Δ |
/// | fixed window | ≤ n in each window, ≤ 2n in any period |
/// | sliding log | ≤ n in any period, exactly; memory grows with n |
/// | sliding window | < 2n in any period; smooth; may deny a client that never exceeded n |
/// | leaky bucket | scheduled slots P/n apart, no request released before its slot |
/// | concurrency | at most n in flight |
///
/// The name, algorithm and period, with the key, identify the state. The other numbers may change while the state is
/// kept, and apply to it from then on.
public struct Limit: Sendable, Hashable {
    /// 1 to 64 of `A-Za-z0-9_-`. Appears in headers and metrics.
    public let name: String
    /// The limit's algorithm and numeric parameters.
    package let numbers: LimitNumbers

    /// How the limit counts.
    public var algorithm: Algorithm { numbers.algorithm }

    /// The longest delay that a leaky bucket can be given: 60 seconds.
    public static let maximumWait = Duration.seconds(60)
    /// The longest delay of a leaky bucket by default: 1 second.
    public static let defaultMaximumWait = Duration.seconds(1)
    package static let maximumWaitTicks: Timestamp = 60_000_000
    package static let defaultMaximumWaitTicks: Timestamp = 1_000_000

    /// The most units by which any key may be in debt.
    static let largestDebt: Int64 = 100 * Rate.maximumCount

    /// Creates a limit on a rate.
    ///
    /// - Parameters:
    ///   - name: 1 to 64 of `A-Za-z0-9_-`.
    ///   - rate: the count, period and burst.
    ///   - algorithm: any but ``Algorithm/concurrency``.
    ///   - maxWait: the longest delay of a leaky bucket, 0 to 60 seconds. A fraction of a microsecond is ignored. Other
    ///     algorithms ignore the delay.
    ///   - alignment: where a fixed window begins. Other algorithms ignore it.
    ///   - mostDebt: the most units by which a token bucket's key may be in debt, 1 to 10^11; by default a hundred
    ///     times the burst. Other algorithms ignore it.
    /// - Throws: ``LimitError`` when an argument is out of range.
    public init(
        _ name: String,
        _ rate: Rate,
        algorithm: Algorithm = .tokenBucket,
        maxWait: Duration = Limit.defaultMaximumWait,
        alignment: WindowAlignment = .epoch,
        mostDebt: Int64? = nil
    ) throws(LimitError) {
        let maxWait = Timestamp(clamping: maxWait.ticks)
        try Self.check(name: name)
        guard !algorithm.kind.holdsPermits else {
            throw LimitError(.algorithm, "limit \(name): concurrency takes a number of requests in flight, not a rate")
        }
        guard maxWait >= 0, maxWait <= Self.maximumWaitTicks else {
            throw LimitError(.wait, "limit \(name): max_wait must be 0 to 60 seconds")
        }
        if let mostDebt, !(1...Self.largestDebt).contains(mostDebt) {
            throw LimitError(.count, "limit \(name): the debt must be 1 to 100000000000 units, not \(mostDebt)")
        }
        self.name = name
        self.numbers = LimitNumbers(
            algorithm: algorithm,
            count: rate.count,
            period: rate.periodTicks,
            burst: algorithm.kind.option == .burst ? rate.burst : rate.count,
            maxWait: algorithm.kind.option == .maxWait ? maxWait : 0,
            alignment: algorithm.kind.option == .alignment ? alignment : .epoch,
            mostDebt: mostDebt
        )
    }

    /// Creates a limit on the number of requests in flight.
    ///
    /// - Parameters:
    ///   - name: 1 to 64 of `A-Za-z0-9_-`.
    ///   - concurrency: the most requests in flight per key, 1 to 10^9.
    /// - Throws: ``LimitError`` when an argument is out of range.
    public init(_ name: String, concurrency: Int64) throws(LimitError) {
        try Self.check(name: name)
        guard concurrency >= 1, concurrency <= Rate.maximumCount else {
            throw LimitError(.count, "limit \(name): a concurrency limit must be 1 to 1000000000, not \(concurrency)")
        }
        self.name = name
        self.numbers = LimitNumbers(
            algorithm: .concurrency,
            count: concurrency,
            period: 0,
            burst: concurrency
        )
    }

    /// Identifies this limit's state, together with the key.
    package var identity: String { "\(name)\u{0}\(algorithm.rawValue)\u{0}\(numbers.period)" }

    /// Whether a name may be used in headers, metrics and keys: 1 to 64 of `A-Za-z0-9_-`.
    public static func isValidName(_ name: String) -> Bool {
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
        guard isValidName(name) else {
            throw LimitError(
                .name, "a limit's name must be 1 to 64 letters, digits, '_' or '-', not \(name.debugDescription)")
        }
    }
}
