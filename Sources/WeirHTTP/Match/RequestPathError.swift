/// The reason why a request target gets 400.
public struct RequestPathError: Error, Sendable, Hashable, CustomStringConvertible {
    /// A short name for a kind of fault, safe as a metric label.
    public struct Code: RawRepresentable, Sendable, Hashable {
        /// The name.
        public let rawValue: String
        /// Creates a code from its name.
        public init(rawValue: String) { self.rawValue = rawValue }

        /// The target is neither a path nor an http URL with a valid host.
        public static let target = Code(rawValue: "target")
        /// A character must be encoded.
        public static let character = Code(rawValue: "character")
        /// A `%` isn't followed by two hexadecimal digits.
        public static let encoding = Code(rawValue: "encoding")
        /// A backslash, or an encoded slash, backslash or NUL.
        public static let separator = Code(rawValue: "separator")
        /// A dot segment with parameters.
        public static let dotSegment = Code(rawValue: "dot_segment")
        /// Two servers could decode the path differently.
        public static let doubleEncoding = Code(rawValue: "double_encoding")
    }

    /// The kind of fault.
    public let code: Code
    /// A sentence for people, which the client may see.
    public let message: String

    public var description: String { message }

    /// - Parameter found: the fault as the end of the sentence "The request has …".
    init(_ code: Code, _ found: String) {
        self.code = code
        message = "The request has \(found)."
    }
}
