import NIOCore
import Weir

extension Key {
    /// The key's name on the server: 114 bits of its hash, in a slot that its first dimension determines. A client
    /// chooses no part of it.
    func text(_ prefix: String) -> String {
        var buffer = ByteBuffer()
        write(to: &buffer)
        return prefix + String(buffer: buffer)
    }

    /// The length of `{xx}` and 19 digits of base64url (RFC 4648). With the usual prefix, a key has 28 bytes, which a
    /// server keeps in 32. Keys with all 128 bits in hexadecimal have 43, and the server takes a fifth longer for them.
    static let textLength = 23

    func write(to buffer: inout ByteBuffer) {
        buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: Self.textLength) { bytes in
            write(to: bytes)
            return Self.textLength
        }
    }

    /// - Parameter bytes: at least ``textLength`` of them.
    func write(to bytes: UnsafeMutableRawBufferPointer) {
        func hexadecimal(_ value: UInt64) -> UInt8 {
            let digit = UInt8(truncatingIfNeeded: value & 15)
            return digit < 10 ? 48 + digit : 87 + digit
        }
        bytes[0] = UInt8(ascii: "{")
        bytes[1] = hexadecimal(partition >> 60)
        bytes[2] = hexadecimal(partition >> 56)
        bytes[3] = UInt8(ascii: "}")
        var rest = UInt128(high) << 64 | UInt128(low)
        for place in 4..<Self.textLength {
            bytes[place] = Self.base64Digit(UInt8(truncatingIfNeeded: rest >> 122))
            rest <<= 6
        }
    }

    private static func base64Digit(_ value: UInt8) -> UInt8 {
        switch value {
        case 0..<26: 65 &+ value
        case 26..<52: 71 &+ value
        case 52..<62: value &- 4
        case 62: UInt8(ascii: "-")
        default: UInt8(ascii: "_")
        }
    }

    /// One of 256 groups of keys that share a cluster's slot, so that decisions about many clients can share a call.
    var tag: Int { Int(partition >> 56) }
}
