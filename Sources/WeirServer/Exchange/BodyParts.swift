import DequeModule
import NIOCore

/// Parts of a body that wait to be taken, in order.
///
/// A part shares the buffer that it was read into. A small part that waits is copied and joined to the one before it,
/// because otherwise a few bytes would keep up to 64 kB in memory.
struct BodyParts {
    private var parts = Deque<ByteBuffer>()
    /// The bytes in all parts.
    private(set) var count = 0
    /// Whether the last part is a copy, so that others may be joined to it.
    private var lastIsCopy = false

    /// The bytes of copies that are joined to one part.
    private static let mostJoined = 16 * 1024

    var isEmpty: Bool { parts.isEmpty }

    mutating func append(_ bytes: ByteBuffer) {
        let size = bytes.readableBytes
        guard size > 0 else { return }
        // The parts are in memory, so the sum can't overflow.
        count += size
        guard size < bytes.storageCapacity / 2 else {
            parts.append(bytes)
            lastIsCopy = false
            return
        }
        let last = parts.endIndex - 1
        if lastIsCopy, last >= 0, parts[last].readableBytes + size <= Self.mostJoined {
            parts[last].writeImmutableBuffer(bytes)
        } else {
            parts.append(ByteBuffer(buffer: bytes))
            lastIsCopy = true
        }
    }

    mutating func popFirst() -> ByteBuffer? {
        guard let first = parts.popFirst() else { return nil }
        count -= first.readableBytes
        if parts.isEmpty { lastIsCopy = false }
        return first
    }

    mutating func removeAll() { self = BodyParts() }

    /// The bytes of all parts together.
    var bytes: [UInt8] { parts.flatMap { Array($0.readableBytesView) } }
}

extension ByteBuffer {
    /// The bytes in a buffer of their own, if they would keep a far larger one in memory. A part of a body shares the
    /// buffer that it was read into, which may have 64 kB, and whoever is to take it may let it wait.
    var withoutSlack: ByteBuffer {
        storageCapacity > 1024 && readableBytes < storageCapacity / 4 ? ByteBuffer(buffer: self) : self
    }
}
