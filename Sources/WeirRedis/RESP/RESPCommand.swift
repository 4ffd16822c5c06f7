import NIOCore

/// A command: an array of strings.
struct RESPCommand: Sendable {
    private(set) var bytes: ByteBuffer

    /// - Parameter count: how many arguments the caller will append.
    init(_ name: String, count: Int) {
        bytes = ByteBuffer()
        bytes.writeString("*\(count + 1)\r\n")
        append(name)
    }

    init(_ name: String, _ arguments: String...) {
        self.init(name, count: arguments.count)
        for argument in arguments { append(argument) }
    }

    mutating func append(_ text: String) {
        bytes.writeString("$\(text.utf8.count)\r\n")
        bytes.writeString(text)
        bytes.writeStaticString("\r\n")
    }

    mutating func append(_ number: some FixedWidthInteger) { append(String(number)) }

    /// - Parameter arguments: encoded as `append` encodes them, each with its length.
    mutating func append(arguments: ByteBuffer) { bytes.writeImmutableBuffer(arguments) }

    mutating func append(_ buffer: ByteBuffer) {
        bytes.writeString("$\(buffer.readableBytes)\r\n")
        bytes.writeImmutableBuffer(buffer)
        bytes.writeStaticString("\r\n")
    }
}
