/// The reason why a store didn't answer. It contains no secret.
public struct StoreError: Error, Sendable, Hashable, CustomStringConvertible {
    /// A short name for a kind of failure, safe as a metric label.
    public struct Code: RawRepresentable, Sendable, Hashable {
        /// The name.
        public let rawValue: String
        /// Creates a code from its name.
        public init(rawValue: String) { self.rawValue = rawValue }

        /// No answer came in time. The operation may still be executed; the store gives back a charge that turns up
        /// later.
        public static let timedOut = Code(rawValue: "timed_out")
        /// The store can't be reached, or failed to answer a moment ago.
        public static let unavailable = Code(rawValue: "unavailable")
        /// Too many operations already wait for the store.
        public static let overloaded = Code(rawValue: "overloaded")
        /// The store rejected the operation: it is read-only, full, or doesn't permit this user to do it.
        public static let rejected = Code(rawValue: "rejected")
    }

    /// The kind of failure.
    public let code: Code
    /// A sentence for people.
    public let message: String

    public var description: String { message }

    /// Creates an error. The message must not contain a secret.
    public init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }
}
