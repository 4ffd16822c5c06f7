import HTTPTypes
import Hummingbird
import NIOCore
import TestSupport
import Testing
import WeirHummingbird
import WeirTesting

extension InApp {
    @Suite("An app's own answers", .serialized)
    struct DenialTests {
        private struct Refused: HTTPResponseError {
            var status: HTTPResponse.Status { .tooManyRequests }

            func response(from request: Request, context: some RequestContext) throws -> Response {
                Response(status: status, body: .init(byteBuffer: ByteBuffer(string: "refused")))
            }
        }

        private func limiter(_ yaml: String) throws -> RequestLimiter {
            try RequestLimiter(policy: Policy(yaml: yaml), clock: ManualClock())
        }

        /// The app's format for errors.
        private static func own(_ denial: Denial) -> Response {
            Response(
                status: .init(code: denial.status), headers: [.contentType: "application/json"],
                body: .init(byteBuffer: ByteBuffer(string: #"{"error":"\#(denial.limits.joined())"}"#)))
        }

        @Test("replace Weir's, and carry the limit headers", arguments: ["GET", "HEAD"])
        func replaced(_ method: String) async throws {
            let router = Router(context: RemoteAddressContext.self)
            router.add(
                middleware: RateLimitMiddleware(
                    try limiter("limits: [{name: a, rate: 1/minute}]"),
                    onDenied: { denial, request, context in
                        #expect(request.method.rawValue == method)
                        #expect(context.remoteAddress != nil)
                        #expect(denial.retryAfter == .seconds(60))
                        #expect(denial.limit == 1 && denial.remaining == 0)
                        await Task.yield()
                        return Self.own(denial)
                    }))
            router.get("/x") { _, _ in "ok" }
            router.head("/x") { _, _ in HTTPResponse.Status.ok }
            try await withServer(router.buildResponder()) { (port: Int) async throws -> Void in
                #expect(try await exchangeApart(port, method, "/x").status == 200)
                let answer = try await exchangeApart(port, method, "/x")
                #expect(answer.status == 429)
                #expect(answer["Content-Type"] == "application/json")
                #expect(answer["Retry-After"] == "60")
                #expect(answer["RateLimit"] == #""a";r=0;t=60"#)
                #expect(answer.headers.filter { $0.name == "retry-after" }.count == 1)
                if method == "GET" { #expect(answer.text.hasSuffix(#"{"error":"a"}"#)) }
            }
        }

        @Test("are asked for whenever Weir stops a request")
        func everyStatus() async throws {
            let router = Router(context: RemoteAddressContext.self)
            router.add(
                middleware: RateLimitMiddleware(
                    try limiter(
                        """
                        gateway: {body_memory: 100}
                        paths: strict
                        access: [{match: {path: /closed}, deny: true}]
                        limits: [{name: a, rate: 99/minute, match: {method: POST}, cost: {json: /n, max: 5}}]
                        """),
                    onDenied: { denial, _, _ in
                        #expect(denial.limits == [] && denial.detail != "")
                        return Response(status: .init(code: denial.status), headers: [.server: "own"])
                    }))
            router.get("/closed") { _, _ in "ok" }
            router.post("/x") { _, _ in "ok" }
            try await withServer(router.buildResponder()) { (port: Int) async throws -> Void in
                func check(_ method: String, _ target: String, body: String = "", _ status: Int) async throws {
                    let answer = try await exchangeApart(port, method, target, body: body)
                    #expect(answer.status == status)
                    #expect(answer["Server"] == (status == 200 ? nil : "own"))
                }
                try await check("GET", "/closed", 403)
                try await check("GET", "/a%2Fb", 400)
                try await check("POST", "/x", body: #"{"n": 5}"#, 200)
                try await check("POST", "/x", body: #"{"n": 6}"#, 413)
                try await check("POST", "/x", body: String(repeating: " ", count: 101), 503)
            }
        }

        @Test("may be thrown, and a route that makes none leaves it to the app")
        func thrownAndNested() async throws {
            let limiter = try limiter("limits: [{name: app, rate: 100/hour}]")
            let router = Router(context: RemoteAddressContext.self)
            router.add(middleware: RateLimitHeaders())
            router.add(
                middleware: RateLimitMiddleware(limiter, onDenied: { denial, _, _ in Self.own(denial) }))
            try router.rateLimited("thrown", to: .perHour(1), using: limiter, onDenied: { _, _, _ in throw Refused() })
                .get("thrown") { _, _ in "ok" }
            try router.rateLimited("left", to: .perHour(1), using: limiter, onDenied: { _, _, _ in nil })
                .get("left") { _, _ in "ok" }
            try await withServer(router.buildResponder()) { (port: Int) async throws -> Void in
                for (path, body) in [("thrown", "refused"), ("left", #"{"error":"left"}"#)] {
                    #expect(try await exchangeApart(port, "GET", "/\(path)").status == 200)
                    let answer = try await exchangeApart(port, "GET", "/\(path)")
                    #expect(answer.status == 429)
                    #expect(answer.text.hasSuffix(body))
                    #expect(answer["Retry-After"] == "3600")
                    #expect(answer["RateLimit-Policy"]?.contains("app") == true)
                }
                let left = try await exchangeApart(port, "GET", "/other")["X-RateLimit-Remaining"]
                #expect(left == nil || left == "97", "denied requests were refunded")
            }
        }
    }
}
