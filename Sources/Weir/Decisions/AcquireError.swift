/// The reason why nothing was acquired.
public struct AcquireError: Error, Sendable, Hashable, CustomStringConvertible {
    /// A short name for a kind of failure, safe as a metric label.
    public struct Code: RawRepresentable, Sendable, Hashable {
        /// The name.
        public let rawValue: String
        /// Creates a code from its name.
        public init(rawValue: String) { self.rawValue = rawValue }

        /// The cost exceeds the limit's capacity, so waiting can't help.
        public static let costExceedsCapacity = Code(rawValue: "cost_exceeds_capacity")
        /// The request would not pass before the timeout.
        public static let timedOut = Code(rawValue: "timed_out")
    }

    /// The kind of failure.
    public let code: Code
    /// A sentence for people. It names the limit.
    public let message: String

    public var description: String { message }

    init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }
}
