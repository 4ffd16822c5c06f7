/// How a limit counts. See ``Limit`` for what each promises.
public struct Algorithm: RawRepresentable, Sendable, Hashable, CustomStringConvertible {
    package enum Kind: UInt8, CaseIterable, Sendable {
        case tokenBucket, fixedWindow, slidingLog, slidingWindow, leakyBucket, concurrency

        var name: String {
            switch self {
            case .tokenBucket: "token-bucket"
            case .fixedWindow: "fixed-window"
            case .slidingLog: "sliding-log"
            case .slidingWindow: "sliding-window"
            case .leakyBucket: "leaky-bucket"
            case .concurrency: "concurrency"
            }
        }
    }

    package let kind: Kind

    /// A bucket of `burst` tokens, refilled continuously (the generic cell rate algorithm).
    public static let tokenBucket = Algorithm(kind: .tokenBucket)
    /// Windows of one period each, counted apart.
    public static let fixedWindow = Algorithm(kind: .fixedWindow)
    /// A list of what was admitted in the last period.
    public static let slidingLog = Algorithm(kind: .slidingLog)
    /// Two fixed windows, the earlier weighted by how much of it still overlaps the last period.
    public static let slidingWindow = Algorithm(kind: .slidingWindow)
    /// A queue drained at a steady pace; requests are delayed rather than refused.
    public static let leakyBucket = Algorithm(kind: .leakyBucket)
    /// So many requests in flight at once.
    public static let concurrency = Algorithm(kind: .concurrency)

    public static let all = Kind.allCases.map(Algorithm.init(kind:))

    private init(kind: Kind) { self.kind = kind }

    /// The name in a policy, such as `token-bucket`; `gcra` is another name for it.
    public init?(rawValue: String) {
        if rawValue == "gcra" {
            self = .tokenBucket
            return
        }
        guard let kind = Kind.allCases.first(where: { $0.name == rawValue }) else { return nil }
        self.kind = kind
    }

    /// Whether units may be borrowed and spent elsewhere: not of a log, which promises exactly n in any period, nor of slots
    /// and permits, which are things of their own.
    public var canBeLeased: Bool { kind == .tokenBucket || kind == .fixedWindow || kind == .slidingWindow }

    public var rawValue: String { kind.name }

    // What comes with RawRepresentable compares and hashes the names.
    public static func == (left: Algorithm, right: Algorithm) -> Bool { left.kind == right.kind }
    public func hash(into hasher: inout Hasher) { hasher.combine(kind) }

    public var description: String { kind.name }
}

/// Where a fixed window begins.
public struct WindowAlignment: Sendable, Hashable {
    let startsAtFirstRequest: Bool

    /// At multiples of the period since the Unix epoch.
    public static let epoch = WindowAlignment(startsAtFirstRequest: false)
    /// At the key's first charged request.
    public static let firstRequest = WindowAlignment(startsAtFirstRequest: true)
}

/// The numbers by which a state is judged. Plain bits, so that a charge can be copied for free.
public struct LimitNumbers: Sendable, Hashable {
    public let algorithm: Algorithm
    /// n: units for each period; for concurrency, how many in flight.
    public let count: Int64
    /// P, in microseconds; 0 for concurrency, which has none.
    public let period: Timestamp
    /// The token bucket's capacity; `count` for every other algorithm.
    public let burst: Int64
    /// The longest a leaky bucket delays a request, in microseconds.
    public let maxWait: Timestamp
    public let alignment: WindowAlignment

    /// The most that one request can cost without being refused for ever.
    public var capacity: Int64 { burst }

    // Worked out once, for the decision that is made most often.

    /// `burst` × `period`, when all of a token bucket's sums fit 64 bits; else -1.
    let smallCapacity: Int64
    let dividedByCount: Reciprocal
    let dividedByPeriod: Reciprocal

    init(
        algorithm: Algorithm, count: Int64, period: Timestamp, burst: Int64, maxWait: Timestamp = 0,
        alignment: WindowAlignment = .epoch
    ) {
        self.algorithm = algorithm
        self.count = count
        self.period = period
        self.burst = burst
        self.maxWait = maxWait
        self.alignment = alignment
        let capacity = Int128(burst) * Int128(period)
        smallCapacity = algorithm == .tokenBucket && capacity < 1 << 62 ? Int64(capacity) : -1
        dividedByCount = Reciprocal(of: count)
        dividedByPeriod = Reciprocal(of: period)
    }

    // The rest follows from these.
    public static func == (left: LimitNumbers, right: LimitNumbers) -> Bool {
        left.count == right.count && left.period == right.period && left.burst == right.burst
            && left.maxWait == right.maxWait && left.algorithm == right.algorithm && left.alignment == right.alignment
    }

    public func hash(into hasher: inout Hasher) {
        hasher.combine(algorithm)
        hasher.combine(count)
        hasher.combine(period)
        hasher.combine(burst)
        hasher.combine(maxWait)
        hasher.combine(alignment)
    }

    /// One instance's share of a limit that so many would hold together: count and burst divided, rounded down, at
    /// least 1.
    package func divided(by instances: Int64) -> LimitNumbers {
        let divisor = max(1, instances)
        return LimitNumbers(
            algorithm: algorithm, count: max(1, count / divisor), period: period, burst: max(1, burst / divisor),
            maxWait: maxWait, alignment: alignment)
    }
}

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
        guard algorithm != .concurrency else {
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
            burst: algorithm == .tokenBucket ? rate.burst : rate.count,
            maxWait: algorithm == .leakyBucket ? maxWait : 0,
            alignment: algorithm == .fixedWindow ? alignment : .epoch
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
