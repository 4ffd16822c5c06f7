/// A setting or a store that the command can't start with.
struct SettingsError: Error, CustomStringConvertible {
    /// A short name for a kind of fault.
    enum Code: String {
        /// A variable is invalid.
        case variable
        /// The store can't be used.
        case store
    }

    let code: Code
    /// A sentence for the user.
    let message: String
    let cause: (any Error)?

    var description: String { message }

    init(_ message: String, code: Code = .variable, cause: (any Error)? = nil) {
        self.code = code
        self.message = message
        self.cause = cause
    }
}
