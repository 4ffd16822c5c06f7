/// A reply that no server may send. The connection is closed.
struct RESPError: Error, Hashable, CustomStringConvertible {
    /// A short name, safe as a metric label.
    enum Code: String {
        case depth
        case number
        case length
        case terminator
        case type
    }

    let code: Code
    let message: String

    init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    var description: String { message }
}
