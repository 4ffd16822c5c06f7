/// The framing of a request's body. It is decided once, from the head.
enum BodyFraming: Equatable {
    case none
    /// A Content-Length, at least 1.
    case length(Int)
    case chunked

    /// Whether the body is known to be at most `limit` bytes long.
    func isKnown(toFit limit: Int) -> Bool {
        switch self {
        case .none: true
        case .length(let length): length <= limit
        case .chunked: false
        }
    }
}
