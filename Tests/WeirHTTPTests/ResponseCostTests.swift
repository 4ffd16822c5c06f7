import Foundation
import Testing
import Weir

@testable import WeirHTTP

@Suite("Costs in a response's body")
struct ResponseCostTests {
    private static func pointers(_ texts: String...) -> [JSONPointer] { texts.compactMap { JSONPointer($0) } }

    /// Meters a body that comes in pieces of each length, and expects the same result every time.
    private func meter(
        _ cost: BodyCost, _ text: String, type: String = "application/json", status: Int = 200, coding: String? = nil,
        isComplete: Bool = true
    ) -> ResponseMeter.Result {
        let bytes = Array(text.utf8)
        var results: [ResponseMeter.Result] = []
        for length in [1, 2, 7, 64, max(1, bytes.count)] {
            var meter = ResponseMeter(.body(cost), JSONPointerTree(cost.pointers))
            meter.head(status: status) { name in
                switch name {
                case "Content-Type": [type]
                case "Content-Encoding": coding.map { [$0] } ?? []
                default: []
                }
            }
            for start in stride(from: 0, to: bytes.count, by: length) {
                bytes[start..<min(bytes.count, start + length)].withUnsafeBytes { meter.body($0) }
            }
            results.append(meter.end(isComplete: isComplete))
        }
        #expect(results.allSatisfy { $0 == results[0] }, "the pieces' length makes no difference: \(results)")
        return results[0]
    }

    private let total = BodyCost.number(pointers("/usage/total_tokens"))
    private let events = "text/event-stream; charset=utf-8"

    // MARK: Documents

    @Test(
        "a number is found wherever its pointer leads, however the document is written",
        arguments: [
            ("{\"usage\":{\"total_tokens\":7}}", 7), (" { \"usage\" : { \"total_tokens\" : 7 } } \n", 7),
            ("{\"a\":[1,{\"usage\":3}],\"usage\":{\"x\":\"}\",\"total_tokens\":7},\"b\":[[],{}]}", 7),
            ("{\"us\\u0061ge\":{\"total_tokens\":7}}", 7), ("{\"usage\":{\"total_tokens\":7.2}}", 8),
            ("{\"usage\":{\"total_tokens\":-7}}", 0), ("{\"usage\":{\"total_tokens\":1e3}}", 1000),
            ("{\"text\":\"\\\"usage\\\":{\",\"usage\":{\"total_tokens\":7}}", 7),
            ("{\"usage\":{\"total_tokens\":" + String(repeating: "9", count: 1000) + "}}", Int(CostReading.enormous)),
        ])
    func documents(_ text: String, _ expected: Int) {
        #expect(meter(total, text) == .known(Int64(expected)))
    }

    @Test(
        "a document that doesn't say it, or not reliably, is unknown",
        arguments: [
            ("{}", "absent"), ("", "absent"), ("{\"usage\":null}", "absent"),
            ("{\"usage\":{\"total_tokens\":null}}", "absent"), ("{\"usage\":{\"total_tokens\":\"7\"}}", "unreadable"),
            ("{\"usage\":{\"total_tokens\":7,\"total_tokens\":8}}", "unreadable"),
            ("{\"usage\":{\"total_tokens\":7}", "unreadable"), ("{\"usage\":{\"total_tokens\":7}} x", "unreadable"),
            ("<html>", "unreadable"), ("{\"usage\":{\"total_tokens\":[7]}}", "unreadable"),
            (String(repeating: "[", count: 129), "unreadable"),
        ])
    func unknown(_ text: String, _ reason: String) throws {
        let reason = try #require(ResponseMeter.Unknown(rawValue: reason))
        #expect(meter(total, text) == .unknown(reason, atLeast: 0))
    }

    @Test("a long answer is read whatever its length, and a compressed one is not")
    func long() {
        let vector = (0..<200_000).map { "0.\($0)" }.joined(separator: ",")
        let text = "{\"data\":[{\"embedding\":[\(vector)],\"x\":[\"]\"]}],\"usage\":{\"total_tokens\":500}}"
        var meter = ResponseMeter(.body(total), JSONPointerTree(total.pointers))
        meter.head(status: 200) { _ in [] }
        for start in stride(from: 0, to: text.utf8.count, by: 4096) {
            Array(Array(text.utf8)[start..<min(text.utf8.count, start + 4096)]).withUnsafeBytes { meter.body($0) }
        }
        let result = meter.end(isComplete: true)
        #expect(result == .known(500))
        #expect(
            self.meter(total, "{\"usage\":{\"total_tokens\":7}}", coding: "gzip") == .unknown(.compressed, atLeast: 0))
    }

    @Test("the scanner agrees with the parser that reads a whole document")
    func differential() throws {
        var random = SystemRandomNumberGenerator()
        let pointer = JSONPointer("/a/1/b")
        func value(_ depth: Int) -> String {
            switch Int.random(in: 0..<(depth > 3 ? 4 : 7), using: &random) {
            case 0: return "\(Int.random(in: 0...99, using: &random))"
            case 1: return "\"a\\\\\\\"b\""
            case 2: return "null"
            case 3: return "true"
            case 4, 5:
                let members = (0..<Int.random(in: 0...3, using: &random)).map { _ in
                    "\"\(["a", "b", "c"].randomElement(using: &random) ?? "a")\":\(value(depth + 1))"
                }
                return "{" + members.joined(separator: ",") + "}"
            default:
                return "["
                    + (0..<Int.random(in: 0...3, using: &random)).map { _ in value(depth + 1) }.joined(separator: ", ")
                    + "]"
            }
        }
        var found = 0
        for _ in 0..<20_000 {
            let text = "{\"a\":[\(value(1)),{\"b\":\(value(2)),\"c\":\(value(2))}],\"b\":\(value(1))}"
            let bytes = Array(text.utf8)
            var scanner = JSONScanner(JSONPointerTree([pointer]))
            for byte in bytes { withUnsafeBytes(of: byte) { scanner.read($0) } }
            let isWhole = scanner.finish()
            #expect(isWhole, "\(text)")
            guard let expected = try? bytes.withUnsafeBytes({ try JSONProbe.find(pointer, in: $0) }) else { continue }
            switch expected {
            case .number(let number):
                found += 1
                #expect(scanner.findings == [.number(Int64(number) ?? -1)], "\(text)")
            case .absent, .null: #expect(scanner.findings == [.absent], "\(text)")
            case .length, .boolean: #expect(scanner.findings == [.unreadable], "\(text)")
            }
        }
        #expect(found > 1000)
    }

    @Test("no bytes crash the meter")
    func noise() {
        var random = SystemRandomNumberGenerator()
        let alphabet = Array("{}[]:,\"\\u0d8fe+-.0123456789truefalsn \r\n\u{1E}data:".utf8)
        for _ in 0..<3000 {
            let bytes = (0..<60).map { _ in alphabet.randomElement(using: &random) ?? 0 }
            for type in ["application/json", events, "application/x-ndjson"] {
                var meter = ResponseMeter(.body(.tokens), JSONPointerTree(BodyCost.tokens.pointers))
                meter.head(status: 200) { $0 == "Content-Type" ? [type] : [] }
                bytes.withUnsafeBytes { meter.body($0) }
                _ = meter.end(isComplete: Bool.random(using: &random))
            }
        }
    }

    // MARK: Streams

    @Test(
        "an event's lines are joined, whatever ends them, and a byte order mark is skipped",
        arguments: ["\n", "\r\n", "\r"])
    func eventLines(_ end: String) {
        let lines = [
            "data: {\"usage\":{\"prompt_tokens\":1,", "data: \"total_tokens\":500}}", "", "data: [DONE]", "", "",
        ]
        #expect(meter(total, lines.joined(separator: end), type: events) == .known(500))
        #expect(meter(total, "\u{FEFF}" + lines.joined(separator: end), type: events) == .known(500))
    }

    @Test("other fields of an event, and comments, are no data; the last event counts although nothing ends it")
    func otherFields() {
        let text =
            ": data: 1\ndatax: {\"usage\":{\"total_tokens\":1}}\nevent: data\nid: 7\ndata\ndata:{\"usage\":\ndata:{\"total_tokens\":5}}"
        #expect(meter(total, text, type: events) == .known(5))
    }

    @Test("in a stream, the last value of each part counts")
    func lastValue() {
        let text =
            "data: {\"usage\":null}\n\ndata: {\"usage\":{\"total_tokens\":3}}\n\ndata: {\"usage\":{\"total_tokens\":9}}\n\ndata: {\"x\":1}\n\n"
        #expect(meter(total, text, type: events) == .known(9))
    }

    @Test("newline-delimited JSON is read line by line")
    func lines() {
        let text = "{\"eval_count\":1}\n{\"x\":2}\n\n{\"prompt_eval_count\":20,\"eval_count\":30}\n"
        #expect(meter(.tokens, text, type: "application/x-ndjson") == .known(50))
        #expect(meter(.tokens, "\u{1E}{\"eval_count\":7}\n", type: "application/json-seq") == .known(7))
    }

    // MARK: Sums and shapes

    @Test("a sum is weighted in whole numbers, rounded up and never below 0")
    func sums() {
        let sum = BodyCost.sum([
            BodyCost.Part(Self.pointers("/in")), BodyCost.Part(Self.pointers("/out"), millionths: 4_000_000),
            BodyCost.Part(Self.pointers("/cached"), millionths: -900_000),
        ])
        #expect(meter(sum, "{\"in\":100,\"out\":50,\"cached\":10}") == .known(291))
        #expect(meter(sum, "{\"in\":1,\"cached\":1}") == .known(1))
        #expect(meter(sum, "{\"cached\":100}") == .known(0))
        #expect(meter(sum, "{\"x\":1}") == .unknown(.absent, atLeast: 0))
    }

    @Test("the first pointer of a list that is found counts")
    func lists() {
        let cost = BodyCost.number(Self.pointers("/usage/total_tokens", "/response/usage/total_tokens"))
        #expect(meter(cost, "{\"usage\":{\"total_tokens\":5}}") == .known(5))
        #expect(
            meter(cost, "data: {\"response\":{\"usage\":{\"total_tokens\":500}}}\n\n", type: events) == .known(500))
    }

    @Test("'tokens' knows the usual shapes, streamed or not")
    func tokens() {
        #expect(
            meter(.tokens, "{\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4,\"total_tokens\":7}}") == .known(7))
        #expect(meter(.tokens, "{\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4}}") == .known(7))
        #expect(
            meter(
                .tokens,
                "data: {\"choices\":[1],\"usage\":null}\n\ndata: {\"choices\":[],\"usage\":{\"total_tokens\":12}}\n\ndata: [DONE]\n\n",
                type: events) == .known(12))
        #expect(
            meter(.tokens, "{\"usage\":{\"input_tokens\":10,\"output_tokens\":5,\"cache_read_input_tokens\":100}}")
                == .known(115))
        #expect(
            meter(
                .tokens,
                "event: message_start\ndata: {\"message\":{\"usage\":{\"input_tokens\":100,\"output_tokens\":1}}}\n\n"
                    + "data: {\"usage\":{\"output_tokens\":30}}\n\ndata: {\"usage\":{\"output_tokens\":50}}\n\n",
                type: events) == .known(150))
        #expect(
            meter(
                .tokens,
                "data: {\"response\":{\"usage\":{\"input_tokens\":1,\"output_tokens\":2,\"total_tokens\":3}}}\n\n",
                type: events)
                == .known(3))
        #expect(meter(.tokens, "{\"usageMetadata\":{\"promptTokenCount\":4,\"totalTokenCount\":9}}") == .known(9))
        #expect(
            meter(.tokens, "data: {\"text\":\"a\"}\n\ndata: {\"text\":\"b\"}\n\n", type: events)
                == .unknown(.absent, atLeast: 2), "a token an event, at least")
    }

    // MARK: Ends

    @Test("a response whose head never came says nothing")
    func headless() {
        var meter = ResponseMeter(.body(.tokens), JSONPointerTree(BodyCost.tokens.pointers))
        let result = meter.end(isComplete: false)
        #expect(result == .unknown(.incomplete, atLeast: 0))
    }

    @Test("a failed answer costs nothing unless it says a cost, and one that broke off says what was seen")
    func ends() {
        #expect(meter(total, "<html>", type: "text/html", status: 500) == .failed)
        #expect(meter(total, "{\"error\":\"full\"}", status: 429) == .failed)
        #expect(meter(total, "{\"usage\":{\"total_tokens\":7}}", status: 400) == .known(7))
        #expect(
            meter(total, "{\"usage\":{\"total_tokens\":7},", isComplete: false) == .unknown(.incomplete, atLeast: 0))
        #expect(
            meter(total, "data: {\"usage\":{\"total_tokens\":7}}\n\ndata: {", type: events, isComplete: false)
                == .unknown(.incomplete, atLeast: 7))
    }
}
