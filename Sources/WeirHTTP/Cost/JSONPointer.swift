/// A pointer to a value in a JSON document (RFC 6901), such as `/usage/total_tokens`.
public struct JSONPointer: Sendable, Hashable, CustomStringConvertible {
    /// The pointer as it was written.
    public let description: String
    /// The unescaped names along the path, from the root.
    let tokens: [[UInt8]]

    /// Reads a pointer. Returns nil if the text is malformed or names more than 128 levels. The empty text points to
    /// the whole document.
    public init?(_ text: String) {
        guard text.isEmpty || text.hasPrefix("/") else { return nil }
        var tokens: [[UInt8]] = []
        for part in text.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false).dropFirst() {
            var token: [UInt8] = []
            var isEscaped = false
            for byte in part {
                if isEscaped {
                    guard byte == UInt8(ascii: "0") || byte == UInt8(ascii: "1") else { return nil }
                    token.append(byte == UInt8(ascii: "0") ? UInt8(ascii: "~") : UInt8(ascii: "/"))
                    isEscaped = false
                } else if byte == UInt8(ascii: "~") {
                    isEscaped = true
                } else {
                    token.append(byte)
                }
            }
            guard !isEscaped else { return nil }
            tokens.append(token)
        }
        guard tokens.count <= JSONProbe.deepest else { return nil }
        description = text
        self.tokens = tokens
    }
}
