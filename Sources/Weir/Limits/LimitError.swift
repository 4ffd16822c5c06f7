/// Why a limit can't be made of the numbers it was given. The message is fit to be shown.
public struct LimitError: Error, Sendable, Hashable, CustomStringConvertible {
    public let description: String

    package init(_ description: String) {
        self.description = description
    }
}
