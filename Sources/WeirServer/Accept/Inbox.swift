import NIOCore
import NIOHTTP1

/// The parts of requests that a client has sent and that wait to be taken. An empty inbox allocates nothing.
struct Inbox {
    private var parts: CircularBuffer<HTTPServerRequestPart>?

    /// The number of waiting parts at which reading stops.
    private static let most = 64

    var isEmpty: Bool { parts == nil }
    var hasRoom: Bool { (parts?.count ?? 0) < Self.most }

    /// Whether it contains the end of a request.
    var hasEnd: Bool {
        parts?.contains { if case .end = $0 { true } else { false } } ?? false
    }

    mutating func append(_ part: HTTPServerRequestPart) {
        parts = parts ?? CircularBuffer(initialCapacity: 4)
        parts?.append(part)
    }

    /// Puts a part back at the front.
    mutating func putBack(_ part: HTTPServerRequestPart) {
        parts = parts ?? CircularBuffer(initialCapacity: 4)
        parts?.prepend(part)
    }

    mutating func popFirst() -> HTTPServerRequestPart? {
        let part = parts?.popFirst()
        if parts?.isEmpty == true { parts = nil }
        return part
    }

    mutating func removeAll() { parts = nil }
}
