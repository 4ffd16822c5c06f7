/// The reason why a key set can't be used. It contains no secret.
public struct KeySetError: Error, Sendable, Hashable, CustomStringConvertible {
    /// A short name for a kind of fault, safe as a metric label.
    public struct Code: RawRepresentable, Sendable, Hashable {
        /// The name.
        public let rawValue: String
        /// Creates a code from its name.
        public init(rawValue: String) { self.rawValue = rawValue }

        /// The text is not a key set.
        public static let format = Code(rawValue: "format")
        /// A key is invalid, too short, or has the name of a different one.
        public static let key = Code(rawValue: "key")
        /// No key is left that could verify a token.
        public static let empty = Code(rawValue: "empty")
    }

    /// The kind of fault.
    public let code: Code
    /// A sentence for people who run the server.
    public let message: String

    public var description: String { message }

    init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }
}
