import NIOCore
import NIOHTTP1
import Testing

@testable import WeirHTTP
@testable import WeirServer

@Suite("The bytes of a response")
struct ResponseWriterTests {
    private let allocator = ByteBufferAllocator()

    private func head(
        _ fields: [(String, String)], status: HTTPResponseStatus = .ok, to method: HTTPMethod = .GET
    ) -> ResponseHeader {
        ResponseHeader(
            HTTPResponseHead(version: .http1_1, status: status, headers: HTTPHeaders(fields)), to: method, dropping: nil
        )
    }

    private func text(_ writer: inout ResponseWriter) -> String { writer.take().map { String(buffer: $0) } ?? "" }

    @Test("an answer of Weir's own is written whole")
    func answer() {
        var writer = ResponseWriter()
        var answer = Answer(problem: ProblemDetails(status: 429, title: "t", detail: "d"), body: "no")
        answer.fields = [("Retry-After", "6")]
        writer.add(answer, connection: "close", omitsBody: false, allocator)
        #expect(
            text(&writer)
                == "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 6\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno"
        )
        writer.add(answer, connection: nil, omitsBody: true, allocator)
        #expect(
            text(&writer) == "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 6\r\nContent-Length: 2\r\n\r\n",
            "HEAD is told the length and sent no body")
        #expect(text(&writer).isEmpty)
    }

    @Test("a response of known length is written as it comes")
    func length() {
        var writer = ResponseWriter()
        writer.add(
            head([("Content-Length", "6")]), isChunked: false, connection: "keep-alive", allocator)
        #expect(writer.add(ByteBuffer(string: "abc"), allocator).isEmpty)
        #expect(writer.add(ByteBuffer(string: "def"), allocator).isEmpty)
        writer.end(nil, allocator)
        #expect(
            text(&writer) == "HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: keep-alive\r\n\r\nabcdef")
    }

    @Test("a response of unknown length is chunked, with its trailers")
    func chunks() {
        var writer = ResponseWriter()
        writer.add(head([]), isChunked: true, connection: nil, allocator)
        #expect(text(&writer) == "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "what was flushed alone")
        #expect(writer.add(ByteBuffer(string: "0123456789abcdef"), allocator).isEmpty)
        #expect(writer.add(ByteBuffer(), allocator).isEmpty, "an empty part would end the body")
        #expect(writer.add(ByteBuffer(string: "x"), allocator).isEmpty)
        writer.end(["X-Sum": "1"], allocator)
        #expect(text(&writer) == "10\r\n0123456789abcdef\r\n1\r\nx\r\n0\r\nX-Sum: 1\r\n\r\n")
    }

    @Test("a large part is passed on without a copy, with its frame around it", arguments: [false, true])
    func large(isChunked: Bool) {
        var writer = ResponseWriter()
        writer.add(head([]), isChunked: isChunked, connection: nil, allocator)
        let part = ByteBuffer(repeating: UInt8(ascii: "a"), count: 100_000)
        let buffers = writer.add(part, allocator)
        #expect(buffers.count == 2)
        #expect(buffers.last == part)
        #expect(
            buffers.first.map { String(buffer: $0) }?.hasSuffix(isChunked ? "\r\n\r\n186a0\r\n" : "\r\n\r\n") == true)
        writer.end(nil, allocator)
        #expect(text(&writer) == (isChunked ? "\r\n0\r\n\r\n" : ""))
    }

    @Test("many small parts that nobody flushes are not gathered without bound")
    func gathering() {
        var writer = ResponseWriter()
        writer.add(head([]), isChunked: true, connection: nil, allocator)
        var passedOn = 0
        for _ in 0..<100 {
            passedOn += writer.add(ByteBuffer(repeating: 0, count: 8000), allocator).reduce(0) { $0 + $1.readableBytes }
        }
        #expect(passedOn > 700_000)
    }

    @Test("other statuses have their number and reason")
    func statuses() {
        var writer = ResponseWriter()
        writer.add(head([], status: .notFound), isChunked: false, connection: nil, allocator)
        #expect(text(&writer) == "HTTP/1.1 404 Not Found\r\n\r\n")
        writer.add(
            head([], status: .custom(code: 299, reasonPhrase: "Odd")), isChunked: false, connection: nil, allocator)
        #expect(text(&writer) == "HTTP/1.1 299 Odd\r\n\r\n")
        writer.addContinue(allocator)
        #expect(text(&writer) == "HTTP/1.1 100 Continue\r\n\r\n")
    }
}
