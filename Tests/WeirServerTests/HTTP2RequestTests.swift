import NIOHPACK
import NIOHTTP1
import Testing
import WeirHTTP

@testable import WeirServer

@Suite("A request's header from HTTP/2")
struct HTTP2RequestTests {
    private static let pseudo: [(String, String)] = [
        (":method", "GET"), (":scheme", "https"), (":authority", "a.example"), (":path", "/x"),
    ]

    private static func request(
        _ fields: [(String, String)] = [], changing: [String: String?] = [:], endsStream: Bool = true,
        maxSize: Int = 32_768
    ) throws(Problem) -> HTTP2Request {
        let kept = pseudo.compactMap { name, value -> (String, String)? in
            guard let change = changing[name] else { return (name, value) }
            return change.map { (name, $0) }
        }
        return try HTTP2Request(HPACKHeaders(kept + fields), endsStream: endsStream, maxSize: maxSize)
    }

    private static func problem(
        _ fields: [(String, String)] = [], changing: [String: String?] = [:], endsStream: Bool = true,
        maxSize: Int = 32_768
    ) -> Int? {
        do {
            _ = try request(fields, changing: changing, endsStream: endsStream, maxSize: maxSize)
            return nil
        } catch {
            return error.details.status
        }
    }

    @Test("becomes a header of HTTP/1.1, with the authority as Host and its cookies joined")
    func header() throws {
        let head = try Self.request([("accept", " a "), ("cookie", "a=1"), ("cookie", "b=2")]).head
        #expect(head.method == .GET && head.uri == "/x")
        #expect(
            head.headers.map { "\($0.name): \($0.value)" } == ["host: a.example", "accept: a", "cookie: a=1; b=2"])
        #expect(try Self.request([("host", "b")], changing: [":authority": nil]).head.headers["host"] == ["b"])
        #expect(try Self.request([("host", "A.example")]).head.headers["host"] == ["a.example"])
    }

    @Test("says how the body is framed")
    func framing() throws {
        let post: [String: String?] = [":method": "POST"]
        #expect(try Self.request(changing: post).framing == BodyFraming.none)
        #expect(try Self.request(changing: post, endsStream: false).framing == .chunked)
        #expect(
            try Self.request([("content-length", "5")], changing: post, endsStream: false).framing == .length(5))
        #expect(try Self.request([("content-length", "0")], changing: post, endsStream: false).framing == nil)
        #expect(try Self.request().framing == BodyFraming.none)
        #expect(try Self.request(endsStream: false).framing == nil)
    }

    @Test("is refused when an HTTP/1.1 upstream could read it differently")
    func refused() {
        #expect(Self.problem([("host", "b.example")]) == 400)
        #expect(Self.problem([("host", "a.example"), ("host", "a.example")]) == 400)
        #expect(Self.problem(changing: [":authority": nil]) == 400)
        #expect(Self.problem(changing: [":authority": "user@a.example"]) == 400)
        #expect(Self.problem(changing: [":authority": "a b"]) == 400)
        #expect(Self.problem(changing: [":path": ""]) == 400)
        #expect(Self.problem(changing: [":path": "http://b.example/x"]) == 400)
        #expect(Self.problem(changing: [":path": "/x HTTP/1.1"]) == 400)
        #expect(Self.problem(changing: [":path": "/é"]) == 400)
        #expect(Self.problem(changing: [":path": "*"]) == 400)
        #expect(Self.problem(changing: [":path": "*", ":method": "OPTIONS"]) == nil)
        #expect(Self.problem(changing: [":scheme": "ftp"]) == 400)
        #expect(Self.problem(changing: [":method": "CONNECT"]) == 405)
        #expect(Self.problem(changing: [":method": "get"]) == 501)
        #expect(Self.problem(changing: [":method": "GET /a"]) == 501)
        #expect(Self.problem(changing: [":method": ""]) == 501)
        #expect(Self.problem([("x-a", "a\u{1}b")]) == 400)
        #expect(Self.problem([("x-a", "a\u{7F}b")]) == 400)
        #expect(Self.problem([("x-a", "a\tb")]) == nil)
    }

    @Test("is refused when its length contradicts itself or the method")
    func lengths() {
        let post: [String: String?] = [":method": "POST"]
        for length in ["+5", "-1", "5, 5", "", "0x5", "99999999999999999999"] {
            #expect(Self.problem([("content-length", length)], changing: post, endsStream: false) == 400, "\(length)")
        }
        #expect(
            Self.problem([("content-length", "5"), ("content-length", "5")], changing: post, endsStream: false) == 400)
        #expect(Self.problem([("content-length", "5")], changing: post) == 400)
        #expect(Self.problem([("content-length", "5")], endsStream: false) == 400)
    }

    @Test("is refused when it is too large, by bytes or by fields")
    func size() {
        #expect(Self.problem([("x-a", String(repeating: "a", count: 800))], maxSize: 1000) == 431)
        #expect(Self.problem(changing: [":path": "/" + String(repeating: "a", count: 1000)], maxSize: 1000) == 414)
        #expect(Self.problem([("x-a", String(repeating: "a", count: 700))], maxSize: 1000) == nil)
        #expect(Self.problem((0..<200).map { ("x-\($0)", "") }) == 431)
        #expect(Self.problem((0..<196).map { ("x-\($0)", "") }) == nil)
    }
}

@Suite("What bounds an HTTP/2 connection")
struct HTTP2BoundsTests {
    @Test("a window is given back in halves")
    func window() {
        var window = InboundWindow(size: 100)
        let given = [30, 19, 1, 80].map { window.take($0) }
        #expect(given == [nil, nil, 50, 80])
    }

    @Test("updates of the window are allowed in proportion to what is sent")
    func updates() {
        var budget = WindowUpdateBudget()
        /// How many updates pass before the first that doesn't.
        func passing() -> Int {
            var count = 0
            while budget.spend() { count += 1 }
            return count
        }
        #expect(passing() == WindowUpdateBudget.most)
        budget.sent(399)
        #expect(passing() == 0, "this pays for the one that was too many")
        budget.sent(1)
        #expect(passing() == 0)
        budget.sent(1000)
        #expect(passing() == 4)
        budget.tick()
        #expect(passing() == 99)
        budget.sent(1 << 24)
        #expect(passing() == WindowUpdateBudget.most)
    }

    @Test("the preface counts only as a connection's first bytes, and whole")
    func preface() {
        let preface = HTTP2Preface.bytes
        #expect(HTTP2Preface.look(at: preface) == .complete)
        #expect(HTTP2Preface.look(at: preface + [0]) == .complete)
        for count in 0..<preface.count { #expect(HTTP2Preface.look(at: preface.prefix(count)) == .incomplete) }
        #expect(HTTP2Preface.look(at: Array("POST".utf8)) == .absent)
        #expect(HTTP2Preface.look(at: Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\r".utf8)) == .absent)
    }
}
