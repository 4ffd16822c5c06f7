// Numbers for response headers. The standard library converts numbers with generic code, and a string that is appended
// to is moved as it grows. Either takes longer than the decision about the request.

extension String {
    /// Creates a number's decimal digits, the same as `String(number)`.
    init(digitsOf number: Int64) {
        guard number >= 0 else {
            self = String(number)
            return
        }
        let count = number.digitCount
        self.init(unsafeUninitializedCapacity: count) { bytes in
            number.writeDigits(to: bytes, endingAt: count)
            return count
        }
    }

    /// Creates `"\(head)\(number)"`, followed by `"\(separator)\(second)"` if there is a second number.
    init(_ head: String, number: Int64, separator: String, second other: Int64?) {
        guard number >= 0, other ?? 0 >= 0 else {
            self = head + String(number) + (other.map { separator + String($0) } ?? "")
            return
        }
        let first = head.utf8.count + number.digitCount
        let second = other.map { first + separator.utf8.count + $0.digitCount } ?? first
        // The capacity is the sum of the parts' lengths, so no part writes past the end.
        self.init(unsafeUninitializedCapacity: second) { bytes in
            _ = bytes.initialize(from: head.utf8)
            number.writeDigits(to: bytes, endingAt: first)
            if let other {
                _ = bytes[first...].initialize(from: separator.utf8)
                other.writeDigits(to: bytes, endingAt: second)
            }
            return second
        }
    }
}

extension Int64 {
    /// The number of decimal digits of a number that isn't negative.
    fileprivate var digitCount: Int {
        var count = 1
        var rest = self / 10
        while rest > 0 {
            count += 1
            rest /= 10
        }
        return count
    }

    /// Writes the digits of a number that isn't negative, the last one at `end - 1`. `end` is at least ``digitCount``.
    fileprivate func writeDigits(to bytes: UnsafeMutableBufferPointer<UInt8>, endingAt end: Int) {
        var place = end
        var rest = magnitude
        repeat {
            place -= 1
            bytes[place] = UInt8(ascii: "0") + UInt8(truncatingIfNeeded: rest % 10)
            rest /= 10
        } while rest > 0
    }
}
