/// What a server must not send. The connection is closed.
struct RESPError: Error, Hashable, CustomStringConvertible {
    let description: String
}
