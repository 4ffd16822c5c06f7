import Foundation
import TestSupport
import Testing

extension EndToEnd {
    @Suite("What is malformed", .serialized)
    struct MalformedTests {
        static let cases: [(name: String, bytes: String, status: Int)] = [
            (
                "Content-Length beside Transfer-Encoding",
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400
            ),
            (
                "Transfer-Encoding beside Content-Length",
                "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 400
            ),
            (
                "an empty Transfer-Encoding beside Content-Length",
                "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\nContent-Length: 5\r\n\r\nhello", 400
            ),
            (
                "two Content-Lengths",
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 400
            ),
            (
                "two equal Content-Lengths",
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 400
            ),
            ("a list of Content-Lengths", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\nhello", 400),
            ("a signed Content-Length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello", 400),
            (
                "a huge Content-Length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n",
                400
            ),
            ("another coding", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400),
            ("two codings", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400),
            (
                "a coding over two lines",
                "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                400
            ),
            ("a coding in HTTP/1.0", "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
            ("a folded line", "GET / HTTP/1.1\r\nHost: a\r\nX-A: b\r\n c\r\n\r\n", 400),
            ("a bare line feed", "GET / HTTP/1.1\r\nHost: a\nX-A: b\r\n\r\n", 400),
            ("a space before the colon", "GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
            ("a NUL in a value", "GET / HTTP/1.1\r\nHost: a\r\nX-A: b\u{0}c\r\n\r\n", 400),
            ("no Host", "GET / HTTP/1.1\r\n\r\n", 400),
            ("two Hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
            ("a Host that is none", "GET / HTTP/1.1\r\nHost: a.example/\r\n\r\n", 400),
            ("a Host with two ports", "GET / HTTP/1.1\r\nHost: a.example:80:80\r\n\r\n", 400),
            ("a lower-case method", "get / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("no version", "GET /\r\n\r\n", 505),
            ("another version", "GET / HTTP/3.0\r\nHost: a\r\n\r\n", 505),
            ("CONNECT", "CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", 405),
            (
                "a chunk size that is none",
                "POST /sink HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n\r\n", 400
            ),
            (
                "a chunk size without end",
                "POST /sink HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n\r\n", 400
            ),
            (
                "a header that is too large",
                "GET / HTTP/1.1\r\nHost: a\r\nX-A: \(String(repeating: "a", count: 40_000))\r\n\r\n", 431
            ),
            (
                "too many headers", "GET / HTTP/1.1\r\nHost: a\r\n\((0..<300).map { "X-\($0): a\r\n" }.joined())\r\n",
                431
            ),
            ("noise", "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}", 400),
        ]

        @Test("is refused with a status of its own, the connection is closed, and nothing reaches the upstream")
        func refused() async throws {
            let folder = try Folder()
            let api = try await SampleAPI(folder)
            let weir = try await Weir(folder, upstream: api.port, "limits: [{name: a, rate: 100000/minute}]")
            for (name, bytes, status) in Self.cases {
                let connection = try Connection(weir.port)
                // What follows is a request of its own to whoever frames the first one differently.
                try connection.send(bytes + "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
                guard let text = try? connection.readToEnd(), let answer = try? RawResponse(text) else {
                    Issue.record("\(name): no answer, or a connection left open")
                    continue
                }
                #expect(answer.status == status, "\(name): \(text.prefix(200))")
                #expect(answer["Content-Type"] == "application/problem+json", "\(name)")
                #expect(answer["Connection"] == "close", "\(name)")
                #expect(text.components(separatedBy: "HTTP/1.1 ").count == 2, "\(name): one answer")
            }
            #expect(try weir.get("/health").status == 200)
            #expect(weir.program.isRunning)
        }

        @Test("requests that come in one packet are answered one by one, in order")
        func pipelining() async throws {
            let folder = try Folder()
            let api = try await SampleAPI(folder)
            let weir = try await Weir(
                folder, upstream: api.port, "limits: [{name: a, rate: 150/day, match: {path: '/echo/*'}}]")
            let connection = try Connection(weir.port)
            var text = ""
            for index in 0..<200 { text += "POST /echo/\(index) HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc" }
            text += "GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
            try connection.send(text)
            let answer = try connection.readToEnd()
            #expect(answer.components(separatedBy: "HTTP/1.1 200").count == 152)
            #expect(answer.components(separatedBy: "HTTP/1.1 429").count == 51)
            var last = answer.startIndex
            for index in 0..<150 {
                let place = try #require(answer.range(of: "\"/echo/\(index)\"", range: last..<answer.endIndex))
                last = place.upperBound
            }
        }

        @Test("a client that never reads its answers is not answered without end, and then is cut off")
        func neverReads() async throws {
            let folder = try Folder()
            let weir = try await Weir(
                folder, upstream: try freePort(),
                "gateway: {idle_timeout: 1s}\nlimits: [{name: a, rate: 1/day, match: {path: /a}}]")
            _ = try weir.get("/a")
            let connection = try Connection(weir.port)
            let requests = Array(String(repeating: "GET /a HTTP/1.1\r\nHost: a\r\n\r\n", count: 2000).utf8)
            let before = weir.program.residentBytes
            var sent = 0
            // Its own buffers and the kernel's fill; then the gateway stops reading, and ends the connection.
            while (try? connection.send(requests)) != nil, sent < 2000 { sent += 1 }
            #expect(sent < 2000)
            #expect(weir.program.residentBytes - before < 64 << 20)
        }

        @Test("trailers, a 101 and a missing Host don't get past")
        func upstreamSees() async throws {
            let folder = try Folder()
            let api = try await SampleAPI(folder)
            let weir = try await Weir(folder, upstream: api.port, "limits: [{name: a, rate: 1000/day}]")
            let old = try Connection(weir.port)
            try old.send("GET /echo/x HTTP/1.0\r\n\r\n")
            let answer = try RawResponse(old.readToEnd())
            #expect(answer.status == 200)
            #expect(answer.body.contains("[\"host\",\"127.0.0.1:\(api.port)\"]"))
            let trailing = try Connection(weir.port)
            try trailing.send(
                "POST /echo/x HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
                    + "3\r\nabc\r\n0\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n")
            let echoed = try RawResponse(trailing.readToEnd())
            #expect(try echoed.json["length"] as? Int == 3)
            #expect(!echoed.text.contains("6.6.6.6"))
        }

        @Test("a client over a limit is denied unread, and bodies beyond body_memory get a 503")
        func unreadBodies() async throws {
            let folder = try Folder()
            let api = try await SampleAPI(folder)
            let weir = try await Weir(
                folder, upstream: api.port,
                """
                gateway: {body_memory: 100}
                limits: [{name: a, rate: 1/day, match: {path: /sink}}, {name: b, rate: 99/day, cost: {json: /n}}]
                """)
            let long = try weir.request("POST", "/other", body: String(repeating: "x", count: 101))
            #expect(long.status == 503)
            #expect(long.text.contains("Too many requests with long bodies"))
            for _ in 0..<2 { #expect(try weir.request("POST", "/other", body: #"{"n": 1}"#).status != 503) }
            #expect(try weir.request("POST", "/sink", body: #"{"n": 1}"#).status == 200)
            let connection = try Connection(weir.port)
            try connection.send(
                "POST /sink HTTP/1.1\r\nHost: a\r\nContent-Length: 50\r\nExpect: 100-continue\r\n\r\n")
            #expect(try connection.read(until: "\r\n\r\n").hasPrefix("HTTP/1.1 429"))
        }

        @Test("a denied upload is answered at once, and the connection is not left half read")
        func deniedUpload() async throws {
            let folder = try Folder()
            let api = try await SampleAPI(folder)
            let weir = try await Weir(
                folder, upstream: api.port, "limits: [{name: a, rate: 1/day, match: {path: /sink}}]")
            #expect(try weir.request("POST", "/sink", body: "x").status == 200)
            let large = try Connection(weir.port)
            try large.send("POST /sink HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n")
            let answer = try RawResponse(large.readToEnd())
            #expect(answer.status == 429)
            #expect(answer["Connection"] == "close")
            let waiting = try Connection(weir.port)
            try waiting.send("POST /sink HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
            #expect(
                try waiting.read(until: "\r\n\r\n").hasPrefix("HTTP/1.1 429"),
                "a denied client is not asked for its body")
            let small = try Connection(weir.port)
            try small.send(
                "POST /sink HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloGET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
            )
            let both = try small.readToEnd()
            #expect(both.hasPrefix("HTTP/1.1 429"))
            #expect(both.contains("HTTP/1.1 200"))
        }
    }
}
