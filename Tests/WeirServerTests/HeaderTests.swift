import NIOHTTP1
import Testing
import WeirHTTP

@testable import WeirServer

@Suite("Header fields on their way")
struct HeaderTests {
    @Test("a set finds names in any case, with any mark for a hyphen")
    func sets() {
        let set = HeaderSet(["X-User", "te", String(repeating: "a", count: 70)])
        #expect(set.contains("x-user") && set.contains("X_USER") && set.contains("TE"))
        #expect(set.contains("x.user") && set.contains("X~User") && !set.contains("xauser"))
        #expect(set.contains(String(repeating: "A", count: 70)))
        #expect(!set.contains("x-use") && !set.contains("x-users") && !set.contains("") && !set.contains("to"))
        #expect(!set.contains(String(repeating: "a", count: 71)))
        #expect(!HeaderSet([]).contains("te"))
    }

    private func forwarded(
        _ headers: [(String, String)], policy: String = "limits: [{name: a, rate: 1/minute}]", isTrusted: Bool = false,
        dropsCoding: Bool = false, framing: BodyFraming = .none, peer: Peer? = nil
    ) throws -> [String] {
        let limiter = try RequestLimiter(policy: Policy(yaml: policy, environment: ["SECRET": "0123456789abcdef"]))
        let head = HTTPRequestHead(version: .http1_1, method: .GET, uri: "/", headers: HTTPHeaders(headers))
        let peer = try peer ?? Peer(#require(IPAddress("192.0.2.1")))
        return ForwardedHeader(limiter).head(
            head, framing: framing, target: "/", host: nil, upstream: "up:80", peer: peer, isTrusted: isTrusted,
            dropsCoding: dropsCoding
        ).head.headers.map { "\($0.name): \($0.value)" }
    }

    private let ours = ["X-Forwarded-For: 192.0.2.1", "X-Forwarded-Proto: http", "X-Forwarded-Host: a"]

    @Test("the upstream learns the true client, and nothing that the client made up")
    func untrusted() throws {
        let fields = try forwarded([
            ("Host", "a"), ("X-Forwarded-For", "6.6.6.6"), ("X_Forwarded_For", "6.6.6.6"), ("Forwarded", "for=6.6.6.6"),
            ("X-Forwarded-Proto", "https"), ("X-Real-IP", "6.6.6.6"), ("X-Kept", "yes"), ("X-Forwarded-Ssl", "on"),
            ("X-Url-Scheme", "https"), ("Front-End-Https", "on"), ("X-Original-URL", "/admin"),
            ("X-Forwarded-Scheme", "https"),
        ])
        #expect(fields == ["Host: a", "X-Kept: yes"] + ours)
    }

    @Test("a trusted proxy's word is passed on, with its address behind")
    func trusted() throws {
        let fields = try forwarded(
            [("Host", "a"), ("X-Forwarded-For", "198.51.100.7"), ("X-Forwarded-Proto", "https")], isTrusted: true)
        #expect(
            fields == [
                "Host: a", "X-Forwarded-Proto: https", "X-Forwarded-For: 198.51.100.7, 192.0.2.1",
                "X-Forwarded-Host: a",
            ])
    }

    @Test("empty addresses aren't passed on, a Unix socket adds none, and TLS is told")
    func emptyAddresses() throws {
        #expect(
            try forwarded(
                [("Host", "a"), ("X-Forwarded-For", ""), ("X-Forwarded-For", ", 198.51.100.7, ,")], isTrusted: true)
                == [
                    "Host: a", "X-Forwarded-For: 198.51.100.7, 192.0.2.1", "X-Forwarded-Proto: http",
                    "X-Forwarded-Host: a",
                ])
        #expect(
            try forwarded(
                [("Host", "a"), ("X-Forwarded-For", "198.51.100.7")], isTrusted: true, peer: Peer(.unixSocket))
                == ["Host: a", "X-Forwarded-For: 198.51.100.7", "X-Forwarded-Proto: http", "X-Forwarded-Host: a"])
        #expect(
            try forwarded([("Host", "a")], peer: Peer(.unixSocket))
                == ["Host: a", "X-Forwarded-Proto: http", "X-Forwarded-Host: a"])
        let secure = Peer(try #require(IPAddress("2001:db8::1")), isSecure: true)
        #expect(
            try forwarded(
                [("Host", "a")], policy: "address_header: Forwarded\nlimits: [{name: a, rate: 1/s}]", peer: secure)
                == ["Host: a", "Forwarded: for=\"[2001:db8::1]\"", "X-Forwarded-Proto: https", "X-Forwarded-Host: a"])
    }

    @Test("what concerns one connection stays there, and Connection drops no framing and none of ours")
    func hopByHop() throws {
        let fields = try forwarded([
            ("Host", "a"), ("Connection", "close, X-Own, Host, Content-Length, X-Forwarded-For"), ("X-Own", "1"),
            ("Keep-Alive", "1"), ("TE", "trailers"), ("Upgrade", "h2c"), ("Proxy-Authorization", "s"),
            ("Expect", "100-continue"), ("Content-Length", "3"),
        ])
        #expect(fields == ["Host: a", "Content-Length: 3"] + ours)
    }

    @Test("secrets and headers that only trusted proxies may send are stripped, in every spelling")
    func stripped() throws {
        let policy = """
            client: [{header: X-User, from: trusted_proxies}, {header: X-Key}]
            bypass: {header: X-Bypass, secret: {env: SECRET}}
            limits: [{name: a, rate: 1/minute, match: {method: POST}}]
            """
        let fields = try forwarded(
            [
                ("Host", "a"), ("X-User", "root"), ("x_user", "root"), ("X-Bypass", "s"), ("X-Key", "k"),
                ("X_Key", "other"), ("X-HTTP-Method-Override", "DELETE"),
            ], policy: policy)
        #expect(fields == ["Host: a", "X-Key: k"] + ours)
    }

    @Test("a response with a cost in it is asked for without a coding")
    func coding() throws {
        #expect(
            try forwarded([("Host", "a"), ("Accept-Encoding", "gzip")], dropsCoding: true) == ["Host: a"] + ours)
    }

    private func response(
        _ headers: [(String, String)], status: HTTPResponseStatus = .ok, to method: HTTPMethod = .GET,
        dropping own: [String]? = nil
    ) -> ResponseHeader {
        let head = HTTPResponseHead(version: .http1_1, status: status, headers: HTTPHeaders(headers))
        return ResponseHeader(head, to: method, dropping: own.map { HeaderSet($0) })
    }

    @Test("a response keeps its fields but those of one connection, and those that Weir writes")
    func responses() {
        let header = response(
            [
                ("Content-Length", "3"), ("Connection", "close, X-Own, Content-Length"), ("X-Own", "1"),
                ("Transfer-Encoding", "chunked"), ("RateLimit", "theirs"), ("Set-Cookie", "a"), ("Set-Cookie", "b"),
            ], dropping: ["RateLimit"])
        #expect(header.fields.map { "\($0.0): \($0.1)" } == ["Content-Length: 3", "Set-Cookie: a", "Set-Cookie: b"])
        #expect(header.hasLength && header.hasBody)
        #expect(response([("RateLimit", "theirs")]).fields.count == 1, "of a request that no limit met")
    }

    @Test("HEAD, 204 and 304 have no body")
    func bodies() {
        #expect(!response([], to: .HEAD).hasBody)
        #expect(!response([], status: .noContent).hasBody)
        #expect(!response([], status: .notModified).hasBody)
        #expect(response([], status: .notFound).hasBody)
    }

    @Test("trailers pass but for those of the connection and Weir's own")
    func trailers() {
        let permitted = ResponseHeader.permitted(
            ["X-Sum": "1", "Transfer-Encoding": "chunked", "RateLimit": "x"], dropping: HeaderSet(["RateLimit"]))
        #expect(permitted.map(\.name) == ["X-Sum"])
    }
}
