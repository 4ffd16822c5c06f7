/// Why nothing was acquired.
public struct AcquireError: Error, Sendable, Hashable, CustomStringConvertible {
    public struct Code: Sendable, Hashable {
        private let isLate: Bool

        /// The cost is above the limit's capacity: waiting can't help.
        public static let impossible = Code(isLate: false)
        /// It would not pass in time.
        public static let late = Code(isLate: true)
    }

    public let code: Code
    public let description: String

    init(_ code: Code, _ description: String) {
        self.code = code
        self.description = description
    }
}
