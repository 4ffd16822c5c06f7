/// A rule of ``StoreConformance`` that a store breaks.
public struct ConformanceError: Error, CustomStringConvertible {
    /// The rule that was broken, and how.
    public let message: String

    public var description: String { message }

    init(_ message: String) { self.message = message }
}
