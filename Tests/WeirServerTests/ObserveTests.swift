import Foundation
import Testing
import Weir
import WeirHTTP

@testable import WeirServer

@Suite("What a server tells")
struct ObserveTests {
    @Test("a histogram counts each span in the first bucket that holds it")
    func histogram() {
        var histogram = Histogram()
        for span in [0, 250, 251, 500, 1_000_000_000_000] as [Int64] { histogram.count(span) }
        #expect(histogram.counts[0] == 2)
        #expect(histogram.counts[1] == 2)
        #expect(histogram.counts.last == 1)
        #expect(histogram.total == 5)
        #expect(histogram.sum == 1_000_000_001_001)
        var sum = Histogram()
        sum.add(histogram)
        sum.add(histogram)
        #expect(sum.total == 10)
    }

    @Test("a second has so many lines of a limit, and the next line says how many there were more")
    func sampling() {
        let sampler = DenialSampler()
        func admit(_ client: UInt64, at second: Int64, limit: Int = 0) -> UInt64? {
            sampler.admit(limit: limit, client: client, at: second, most: 3)
        }
        #expect(admit(1, at: 5) == 0)
        #expect(admit(2, at: 5) == 0)
        #expect(admit(3, at: 5) == 0)
        #expect(admit(4, at: 5) == nil)
        #expect(admit(5, at: 5) == nil)
        #expect(admit(5, at: 5, limit: 7) == 0, "another limit")
        #expect(admit(6, at: 6) == 2)
        #expect(admit(6, at: 6) == 0)
    }

    @Test("a second has ten lines of one client")
    func samplingOneClient() {
        let sampler = DenialSampler()
        let logged = (0..<50).filter { _ in sampler.admit(limit: 0, client: 9, at: 5, most: 100) != nil }
        #expect(logged.count == 10)
        #expect(sampler.admit(limit: 0, client: 8, at: 5, most: 100) == 40)
    }

    @Test("no line is written when there may be none")
    func samplingNone() {
        #expect(DenialSampler().admit(limit: 0, client: 1, at: 5, most: 0) == nil)
    }

    @Test("a line of JSON can't be broken by what is in it")
    func line() throws {
        let hostile = "a\"b\\c\r\n\u{0}\u{7F}\u{1B}[31mé\u{2028}"
        var line = JSONLine()
        line.add("text", hostile)
        line.add("number", Int64.min)
        line.add("list", ["x", hostile])
        let bytes = line.ended()
        #expect(bytes.dropLast().allSatisfy { $0 >= 0x20 && $0 != 0x7F })
        let json = try #require(try JSONSerialization.jsonObject(with: Data(bytes)) as? [String: Any])
        #expect(json["text"] as? String == hostile)
        #expect(json["number"] as? Int64 == .min)
        #expect(json["list"] as? [String] == ["x", hostile])
    }

    @Test(
        "an instant is written as its date and time",
        arguments: [
            (0, "1970-01-01T00:00:00.000Z"), (-1, "1969-12-31T23:59:59.999Z"),
            (951_782_399_999_999, "2000-02-28T23:59:59.999Z"), (951_782_400_000_000, "2000-02-29T00:00:00.000Z"),
            (1_795_782_600_125_000, "2026-11-27T12:30:00.125Z"), (4_107_542_400_000_000, "2100-03-01T00:00:00.000Z"),
        ] as [(Timestamp, String)])
    func times(_ time: Timestamp, _ text: String) {
        #expect(TimeText.text(of: time) == text)
    }

    @Test("a denial's line has its limits, its client's hash and no query")
    func denial() throws {
        let limiter = try RequestLimiter(policy: Policy(yaml: "limits: [{name: a, rate: 1/minute}]"))
        let request = LimitedRequest(limiter)
        let peer = try #require(IPAddress("192.0.2.1"))
        for _ in 0..<2 { _ = request.begin(Asked(), on: limiter, peer: peer) }
        let denial = request.denial(.init(status: 429, title: "t", detail: "d"), method: "GET")
        let bytes = DenialLog.line(denial, at: 1_795_782_600_125_000, suppressed: 4)
        let json = try #require(try JSONSerialization.jsonObject(with: Data(bytes)) as? [String: Any])
        #expect(json["time"] as? String == "2026-11-27T12:30:00.125Z")
        #expect(json["limits"] as? [String] == ["a"])
        #expect(json["path"] as? String == "/x")
        #expect((json["client"] as? String)?.count == 16)
        #expect(json["suppressed"] as? Int == 4)
        #expect(!String(decoding: bytes, as: UTF8.self).contains("secret"))
    }

    private struct Asked: LimitableRequest {
        var method: String { "GET" }
        var target: String { "/x?key=secret" }
        var host: String? { "a" }
        func forEachValue(of name: String, _ body: (String) -> Void) {}
    }

    @Test("a limit keeps its place in the metrics over all policies, and places are bounded")
    func slots() {
        var slots = LimitSlots()
        #expect(slots.slot(of: "a") == 0)
        #expect(slots.slot(of: "b") == 1)
        #expect(slots.slot(of: "a") == 0)
        for index in 0..<LimitSlots.most { _ = slots.slot(of: "n\(index)") }
        #expect(slots.names.count == LimitSlots.most)
        #expect(slots.slot(of: "late") == LimitSlots.most - 1)
        #expect(slots.names.last == "other")
        #expect(slots.slot(of: "b") == 1)
    }

    @Test("memory is given back once when most of many connections have closed")
    func memory() {
        var memory = MemoryRelease()
        // While they close nothing is given back, and the last 499 aren't worth it.
        let due = [4000, 2000, 1999, 1999, 1500, 499, 500, 500, 1, 1].map { memory.isDue(connections: $0) }
        #expect(due == [false, false, false, true, false, false, true, false, false, false])
    }

    @Test("a log that is non-blocking gets every line whole, and one that is gone is counted")
    func awkwardDescriptors() throws {
        let pipe = Pipe()
        let end = pipe.fileHandleForWriting.fileDescriptor
        #expect(fcntl(end, F_SETFL, O_NONBLOCK) == 0)
        let log = LineWriter(descriptor: end)
        let line = Array((String(repeating: "a", count: 999) + "\n").utf8)
        // More than a pipe holds.
        for _ in 0..<200 { log.write(line) }
        var read = 0
        while read < 200_000 {
            read += pipe.fileHandleForReading.availableData.count
        }
        #expect(read == 200_000 && log.dropped == 0)

        let closed = LineWriter(descriptor: -1)
        closed.write(line + line)
        closed.flush()
        #expect(closed.dropped == 2)
    }

    @Test("a date is written as HTTP wants it")
    func dates() {
        #expect(TimeText.httpDate(of: 0) == "Thu, 01 Jan 1970 00:00:00 GMT")
        #expect(TimeText.httpDate(of: 784_111_777_000_000) == "Sun, 06 Nov 1994 08:49:37 GMT")
        #expect(TimeText.httpDate(of: 951_782_400_000_000) == "Tue, 29 Feb 2000 00:00:00 GMT")
        #expect(TimeText.httpDate(of: -1) == "Wed, 31 Dec 1969 23:59:59 GMT")
    }

    @Test("a second has a hundred lines of failures, and the next line says how many there were more")
    func failures() {
        let log = FailureLog(LineWriter(descriptor: -1))
        for _ in 0..<100 { #expect(log.admit(at: 1) == 0) }
        for _ in 0..<7 { #expect(log.admit(at: 1) == nil) }
        #expect(log.admit(at: 2) == 7)
        #expect(log.admit(at: 2) == 0)
    }
}
