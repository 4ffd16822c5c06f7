import NIOCore
import Testing

@testable import WeirServer

@Suite("Parts of a body that wait")
struct BodyPartsTests {
    /// A part of a buffer of 64 kB, as a socket reads it.
    private func part(_ text: String) -> ByteBuffer {
        var buffer = ByteBufferAllocator().buffer(capacity: 65_536)
        buffer.writeString(text)
        return buffer
    }

    @Test("come out in order, and are counted")
    func order() {
        var parts = BodyParts()
        #expect(parts.isEmpty && parts.popFirst() == nil)
        parts.append(part(""))
        #expect(parts.isEmpty)
        let large = String(repeating: "b", count: 60_000)
        for text in ["a", large, "c", "d"] { parts.append(part(text)) }
        #expect(parts.count == 60_003)
        #expect(parts.bytes == Array("a\(large)cd".utf8))
        var text = ""
        while let next = parts.popFirst() { text += String(buffer: next) }
        #expect(text == "a\(large)cd" && parts.count == 0)
        parts.append(part("e"))
        #expect(parts.popFirst() == ByteBuffer(string: "e"))
    }

    @Test("one that goes to the upstream at once keeps no large buffer either")
    func withoutSlack() {
        #expect(part("x").withoutSlack.storageCapacity < 1024)
        #expect(part("x").withoutSlack == ByteBuffer(string: "x"))
        let large = part(String(repeating: "x", count: 60_000))
        #expect(large.withoutSlack.storageCapacity == large.storageCapacity, "not copied")
    }

    @Test("keep no more memory than a few times their bytes, however small they are")
    func small() {
        var parts = BodyParts()
        for _ in 0..<100_000 { parts.append(part("x")) }
        var memory = 0
        while let next = parts.popFirst() { memory += next.storageCapacity }
        #expect(memory < 400_000)
    }
}
