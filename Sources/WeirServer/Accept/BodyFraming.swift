/// How a request's body is framed. Decided once, from the head.
enum BodyFraming: Equatable {
    case none
    /// A Content-Length, at least 1.
    case length(Int)
    case chunked

    /// Whether the body is known to have at most so many bytes.
    func isKnown(toFit limit: Int) -> Bool {
        switch self {
        case .none: true
        case .length(let length): length <= limit
        case .chunked: false
        }
    }
}
