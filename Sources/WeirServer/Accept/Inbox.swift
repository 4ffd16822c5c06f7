import NIOCore
import NIOHTTP1

/// The parts of requests that a client has sent and that wait to be taken. It has no memory of its own while it is empty.
struct Inbox {
    private var parts: CircularBuffer<HTTPServerRequestPart>?

    /// How many parts wait before reading stops.
    private static let most = 64

    var isEmpty: Bool { parts == nil }
    var hasRoom: Bool { (parts?.count ?? 0) < Self.most }

    /// Whether the end of a request is among them.
    var hasEnd: Bool {
        parts?.contains { if case .end = $0 { true } else { false } } ?? false
    }

    mutating func append(_ part: HTTPServerRequestPart) {
        parts = parts ?? CircularBuffer(initialCapacity: 4)
        parts?.append(part)
    }

    /// Puts back a part that was the first.
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
