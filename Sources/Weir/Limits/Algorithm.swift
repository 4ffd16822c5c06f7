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

        /// Whether instances that share a store may prefetch units.
        ///
        /// A log promises exactly n in any period, which units spent elsewhere would break. Slots and permits are not
        /// interchangeable.
        var canBeLeased: Bool {
            switch self {
            case .tokenBucket, .fixedWindow, .slidingWindow: true
            case .slidingLog, .leakyBucket, .concurrency: false
            }
        }

        /// Whether a charge is a permit, which its receipt gives back, instead of units that time gives back.
        package var holdsPermits: Bool {
            switch self {
            case .concurrency: true
            case .tokenBucket, .fixedWindow, .slidingLog, .slidingWindow, .leakyBucket: false
            }
        }

        /// Which of a limit's optional numbers the algorithm uses.
        package var option: Option? {
            switch self {
            case .tokenBucket: .burst
            case .fixedWindow: .alignment
            case .leakyBucket: .maxWait
            case .slidingLog, .slidingWindow, .concurrency: nil
            }
        }
    }

    /// A number of a limit that only one algorithm uses.
    package enum Option: Sendable {
        case burst, maxWait, alignment
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
    public var canBeLeased: Bool { kind.canBeLeased }

    public var rawValue: String { kind.name }

    // What comes with RawRepresentable compares and hashes the names.
    public static func == (left: Algorithm, right: Algorithm) -> Bool { left.kind == right.kind }
    public func hash(into hasher: inout Hasher) { hasher.combine(kind) }

    public var description: String { kind.name }
}
