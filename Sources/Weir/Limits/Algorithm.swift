/// How a limit counts. ``Limit`` lists each algorithm's promise.
public struct Algorithm: RawRepresentable, CaseIterable, Sendable, Hashable, CustomStringConvertible {
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
        /// A sliding log promises exactly n in any period, which units spent elsewhere would break. Slots and permits
        /// are not interchangeable.
        var canBeLeased: Bool {
            switch self {
            case .tokenBucket, .fixedWindow, .slidingWindow: true
            case .slidingLog, .leakyBucket, .concurrency: false
            }
        }

        /// Whether a charge is a permit, which only a refund gives back, rather than units that time gives back.
        package var holdsPermits: Bool {
            switch self {
            case .concurrency: true
            case .tokenBucket, .fixedWindow, .slidingLog, .slidingWindow, .leakyBucket: false
            }
        }

        /// The optional number of a limit that the algorithm uses.
        package var option: Option? {
            switch self {
            case .tokenBucket: .burst
            case .fixedWindow: .alignment
            case .leakyBucket: .maxWait
            case .slidingLog, .slidingWindow, .concurrency: nil
            }
        }
    }

    /// A number of a limit that only some algorithms use.
    package enum Option: Sendable {
        case burst, maxWait, alignment
    }

    package let kind: Kind

    /// A bucket of `burst` tokens, refilled continuously (the generic cell rate algorithm, ITU-T I.371).
    public static let tokenBucket = Algorithm(kind: .tokenBucket)
    /// A separate counter for each window of one period.
    public static let fixedWindow = Algorithm(kind: .fixedWindow)
    /// A log of the requests admitted in the last period.
    public static let slidingLog = Algorithm(kind: .slidingLog)
    /// Two fixed windows, the previous one weighted by its overlap with the last period.
    public static let slidingWindow = Algorithm(kind: .slidingWindow)
    /// A queue drained at a steady pace, which delays requests rather than denying them.
    public static let leakyBucket = Algorithm(kind: .leakyBucket)
    /// A maximum number of requests in flight.
    public static let concurrency = Algorithm(kind: .concurrency)

    /// Every algorithm.
    public static let allCases = Kind.allCases.map(Algorithm.init(kind:))

    private init(kind: Kind) { self.kind = kind }

    /// Finds an algorithm by its name in a policy, such as `token-bucket`. `gcra` is an alias of `token-bucket`.
    public init?(rawValue: String) {
        if rawValue == "gcra" {
            self = .tokenBucket
            return
        }
        guard let kind = Kind.allCases.first(where: { $0.name == rawValue }) else { return nil }
        self.kind = kind
    }

    /// Whether instances that share a store may prefetch units of a limit: true for token buckets, fixed and sliding
    /// windows.
    ///
    /// A sliding log promises exactly n in any period, which units spent elsewhere would break. Slots and permits are
    /// not interchangeable.
    package var canBeLeased: Bool { kind.canBeLeased }

    /// The algorithm's name in a policy.
    public var rawValue: String { kind.name }

    // Compare the kinds: the defaults from RawRepresentable compare and hash the names.
    public static func == (left: Algorithm, right: Algorithm) -> Bool { left.kind == right.kind }
    public func hash(into hasher: inout Hasher) { hasher.combine(kind) }

    public var description: String { kind.name }
}
