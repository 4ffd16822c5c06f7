// Text compared without regard to the case of ASCII letters.

extension String {
    /// Compares ASCII text without regard to case.
    @inlinable
    package func isEqualIgnoringCase(_ other: String) -> Bool {
        guard utf8.count == other.utf8.count else { return false }
        var left = self
        var right = other
        return left.withUTF8 { left in
            right.withUTF8 { right in
                for index in 0..<left.count where left[index].asciiLowercased != right[index].asciiLowercased {
                    return false
                }
                return true
            }
        }
    }

    /// Whether a route's template may come from a router that ignores case. Such a router keeps templates in lower
    /// case, except for parameter names and segments with a `*`.
    package var mayBeCaseless: Bool {
        split(separator: "/").allSatisfy { segment in
            if segment.contains("*") { return true }
            var isName = false
            return segment.utf8.allSatisfy { byte in
                if byte == UInt8(ascii: "{") { isName = true }
                if byte == UInt8(ascii: "}") { isName = false }
                return isName || !(65...90).contains(byte)
            }
        }
    }

    /// The lower-case form that a router that ignores case may use. In a path that isn't ASCII, it changes all
    /// letters.
    var caseless: String { utf8.allSatisfy { $0 < 128 } ? asciiLowercased : lowercased() }

    /// A copy with its ASCII letters in lower case and all else unchanged.
    var asciiLowercased: String {
        utf8.contains { (65...90).contains($0) } ? String(decoding: utf8.map(\.asciiLowercased), as: UTF8.self) : self
    }
}

extension UInt8 {
    /// The byte; for an upper-case ASCII letter, its lower-case form.
    @inlinable
    package var asciiLowercased: UInt8 { (65...90).contains(self) ? self | 0x20 : self }
}
