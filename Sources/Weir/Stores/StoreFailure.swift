/// Why a store gave no decision. Nothing that it says holds a secret.
public struct StoreFailure: Error, Sendable, Hashable, CustomStringConvertible {
    /// A short name, safe as a label of a metric.
    public struct Code: RawRepresentable, Sendable, Hashable {
        public let rawValue: String
        public init(rawValue: String) { self.rawValue = rawValue }

        /// No answer came in time. What was asked may have been done; a charge that shows later is given back.
        public static let deadline = Code(rawValue: "deadline")
        /// The store is not there, or was found not to answer a moment ago.
        public static let unavailable = Code(rawValue: "unavailable")
        /// Too much waits for it already.
        public static let overloaded = Code(rawValue: "overloaded")
        /// It answered that it won't: it is read-only, full, or this user may not.
        public static let refused = Code(rawValue: "refused")
    }

    public let code: Code
    public let description: String

    public init(_ code: Code, _ description: String) {
        self.code = code
        self.description = description
    }
}
