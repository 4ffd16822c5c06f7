/// Why a store's URL can't be used. Its message contains no password.
public struct RedisConfigurationError: Error, Sendable, Hashable, CustomStringConvertible {
    /// A short name for a kind of fault, safe as a metric label.
    public struct Code: RawRepresentable, Sendable, Hashable {
        /// The name.
        public let rawValue: String
        /// Creates a code from its name.
        public init(rawValue: String) { self.rawValue = rawValue }

        /// It is no URL, or has an unknown scheme.
        public static let scheme = Code(rawValue: "scheme")
        /// The user or password is not encoded as a URL needs it.
        public static let userInfo = Code(rawValue: "user_info")
        /// A host or port is malformed, or there are several where one is needed.
        public static let host = Code(rawValue: "host")
        /// The path is not a database's number, or lacks the master's name.
        public static let path = Code(rawValue: "path")
        /// The query has an unknown part, or lacks one.
        public static let query = Code(rawValue: "query")
    }

    /// The kind of fault.
    public let code: Code
    /// A sentence for the operator.
    public let message: String

    public var description: String { message }

    init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }
}
