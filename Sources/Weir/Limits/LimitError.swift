/// The reason why a limit can't be made from its arguments. The message is safe to show to users.
public struct LimitError: Error, Sendable, Hashable, CustomStringConvertible {
    /// A message that names the argument that is out of range.
    public let description: String

    package init(_ description: String) {
        self.description = description
    }
}
