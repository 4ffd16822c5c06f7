import Testing

@testable import WeirHTTP

@Suite("The texts of numbers in headers")
struct NumberTextTests {
    /// All lengths that a number can have, at both of their ends, and what no header has.
    static let numbers: [Int64] =
        [0, -1, .min, .max, .max - 1]
        + (0...18).flatMap { digits in
            let power = (0..<digits).reduce(Int64(1)) { product, _ in product * 10 }
            return [power - 1, power, power + 1, 5 * (power / 10) + power]
        }

    @Test("a number's digits are those of the standard library", arguments: numbers)
    func digits(_ number: Int64) {
        #expect(String(digitsOf: number) == String(number))
    }

    @Test("a text, a number, and maybe another are put together without a byte too many")
    func parts() {
        for head in ["", "\"a\";r=", "\"a-name-that-does-not-fit-into-a-small-string\";r="] {
            for number in Self.numbers {
                #expect(String(head, number: number, separator: ";t=", second: nil) == "\(head)\(number)")
                for other in Self.numbers {
                    let text = String(head, number: number, separator: ";t=", second: other)
                    #expect(text == "\(head)\(number);t=\(other)")
                    #expect(text.utf8.count == "\(head)\(number);t=\(other)".utf8.count)
                }
            }
        }
    }
}
