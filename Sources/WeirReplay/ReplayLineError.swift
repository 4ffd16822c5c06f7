/// The reason why a line of a log can't be replayed.
struct ReplayLineError: Error, CustomStringConvertible {
    /// A phrase for the user, which names the field.
    let message: String

    var description: String { message }

    init(_ message: String) { self.message = message }
}
