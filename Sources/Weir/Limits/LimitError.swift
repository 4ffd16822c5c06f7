/// The reason why a limit can't be made from its arguments. The message is safe to show to users.
public struct LimitError: Error, Sendable, Hashable, CustomStringConvertible {
    /// A short name for a kind of fault, safe as a metric label.
    public struct Code: RawRepresentable, Sendable, Hashable {
        /// The name.
        public let rawValue: String
        /// Creates a code from its name.
        public init(rawValue: String) { self.rawValue = rawValue }

        /// The name is too long, or has a character that may not stand in a header.
        public static let name = Code(rawValue: "name")
        /// A count or burst is out of range.
        public static let count = Code(rawValue: "count")
        /// A period is out of range.
        public static let period = Code(rawValue: "period")
        /// The longest wait is out of range.
        public static let wait = Code(rawValue: "wait")
        /// The numbers don't belong to the algorithm.
        public static let algorithm = Code(rawValue: "algorithm")
    }

    /// The kind of fault.
    public let code: Code
    /// A sentence for people, which names the argument.
    public let message: String

    public var description: String { message }

    package init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }
}
