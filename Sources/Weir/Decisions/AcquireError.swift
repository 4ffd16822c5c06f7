/// The reason why nothing was acquired.
public struct AcquireError: Error, Sendable, Hashable, CustomStringConvertible {
    /// A kind of failure.
    public struct Code: Sendable, Hashable {
        private let isLate: Bool

        /// The cost exceeds the limit's capacity, so waiting can't help.
        public static let impossible = Code(isLate: false)
        /// The request would not pass in time.
        public static let late = Code(isLate: true)
    }

    /// The kind of failure.
    public let code: Code
    /// A message for people. It names the limit.
    public let description: String

    init(_ code: Code, _ description: String) {
        self.code = code
        self.description = description
    }
}
