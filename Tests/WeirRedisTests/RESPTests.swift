import NIOCore
import Testing

@testable import WeirRedis

@Suite("RESP")
struct RESPTests {
    private func parse(_ chunks: [String]) throws -> [RESPValue] {
        var parser = RESPParser()
        var values: [RESPValue] = []
        for chunk in chunks {
            var bytes = ByteBuffer(string: chunk)
            parser.append(&bytes)
            while let value = try parser.next() { values.append(value) }
        }
        return values
    }

    @Test("replies of every kind are read, however they are cut")
    func everyKind() throws {
        let text = "+OK\r\n-ERR no\r\n:-42\r\n$5\r\na\r\nbc\r\n$-1\r\n*-1\r\n*3\r\n:1\r\n*1\r\n$0\r\n\r\n+x\r\n"
        let expected: [RESPValue] = [
            .simple("OK"), .error("ERR no"), .integer(-42), .string(ByteBuffer(string: "a\r\nbc")), .null, .null,
            .array([.integer(1), .array([.string(ByteBuffer())]), .simple("x")]),
        ]
        #expect(try parse([text]) == expected)
        #expect(try parse(text.map(String.init)) == expected)
        let bytes = Array(text.utf8)
        for size in 2...9 {
            let chunks = stride(from: 0, to: bytes.count, by: size).map {
                String(decoding: bytes[$0..<min($0 + size, bytes.count)], as: UTF8.self)
            }
            #expect(try parse(chunks) == expected)
        }
    }

    @Test(
        "what no server may send is an error",
        arguments: [
            "!x\r\n", ":x\r\n", ":99999999999999999999\r\n", "$-2\r\n", "$99999999999\r\n", "*-2\r\n",
            "*99999999999\r\n",
            "+a\n", "\n", "\r\n", "$1\r\nabc", "$x\r\n", String(repeating: "*1\r\n", count: 20) + ":1\r\n",
            "+" + String(repeating: "a", count: 70_000),
        ])
    func malformed(_ text: String) {
        #expect(throws: RESPError.self) { try parse([text]) }
    }

    @Test("no bytes make the parser crash, hang or grow: a hundred thousand random streams")
    func fuzz() {
        let seed = UInt64.random(in: 0 ... .max)
        var state = seed | 1
        func next(_ bound: Int) -> Int {
            state ^= state << 13
            state ^= state >> 7
            state ^= state << 17
            return Int(state % UInt64(bound))
        }
        let pieces = [
            "*", "$", ":", "+", "-", "\r\n", "\n", "\r", "1", "-1", "2", "0", "99999999999999999999", "abc", "\u{0}",
            "$3\r\nabc\r\n", "*2\r\n", "*1000000\r\n", ":7\r\n", "$64\r\n", "é",
        ]
        for _ in 0..<100_000 {
            var parser = RESPParser()
            for _ in 0..<(1 + next(6)) {
                var text = ""
                for _ in 0..<next(8) { text += pieces[next(pieces.count)] }
                var bytes = ByteBuffer(string: text)
                parser.append(&bytes)
                do {
                    while try parser.next() != nil {}
                } catch {
                    break
                }
            }
        }
    }
}
