import NIOHTTP1
import Testing

@testable import WeirServer

@Suite("How a request's body is framed")
struct FramingTests {
    private func framing(
        _ headers: [(String, String)], _ method: HTTPMethod = .POST, version: HTTPVersion = .http1_1
    ) -> Result<BodyFraming, Problem> {
        let head = HTTPRequestHead(version: version, method: method, uri: "/", headers: HTTPHeaders(headers))
        return Result { () throws(Problem) in try RequestFraming.check(head) }
    }

    @Test("is decided by its header fields")
    func framings() {
        #expect(framing([("Host", "a")]) == .success(.none))
        #expect(framing([("Host", "a"), ("Content-Length", "0")]) == .success(.none))
        #expect(framing([("Host", "a"), ("Content-Length", "12")]) == .success(.length(12)))
        #expect(framing([("Host", "a"), ("content-length", " 12 ")]) == .success(.length(12)))
        #expect(framing([("Host", "a"), ("Transfer-Encoding", "Chunked")]) == .success(.chunked))
        #expect(framing([], version: .http1_0) == .success(.none))
    }

    @Test(
        "which two readers could understand differently is an error",
        arguments: [
            [("Host", "a"), ("Host", "b")], [], [("Host", "a b")],
            [("Host", "a"), ("Transfer-Encoding", "gzip, chunked")],
            [("Host", "a"), ("Transfer-Encoding", "chunked"), ("Transfer-Encoding", "chunked")],
            [("Host", "a"), ("Transfer-Encoding", "chunked"), ("Content-Length", "1")],
            [("Host", "a"), ("Content-Length", "1"), ("Content-Length", "1")],
            [("Host", "a"), ("Content-Length", "99999999999999999999")], [("Host", "a"), ("Content-Length", "-1")],
        ])
    func ambiguous(_ headers: [(String, String)]) {
        guard case .failure(.badRequest) = framing(headers) else {
            Issue.record("\(headers) passed")
            return
        }
    }

    @Test("other versions and CONNECT are not served")
    func unserved() {
        #expect(framing([("Host", "a")], version: HTTPVersion(major: 2, minor: 0)) == .failure(.unsupportedVersion))
        #expect(framing([("Host", "a")], .CONNECT) == .failure(.noForwardProxy))
        #expect(framing([("Transfer-Encoding", "chunked")], version: .http1_0).isFailure)
    }

    @Test("a body fits if it is known to")
    func fits() {
        #expect(BodyFraming.none.isKnown(toFit: 0))
        #expect(BodyFraming.length(5).isKnown(toFit: 5))
        #expect(!BodyFraming.length(6).isKnown(toFit: 5))
        #expect(!BodyFraming.chunked.isKnown(toFit: .max))
    }
}

extension Result {
    fileprivate var isFailure: Bool { if case .failure = self { true } else { false } }
}
