import Foundation
import Hummingbird
import HummingbirdRouter
import NIOCore
import TestSupport
import Testing
import Weir
import WeirHTTP
import WeirHummingbird
import WeirTesting

/// The context of a result-builder router, with the peer's address.
struct BuilderContext: RouterRequestContext, RemoteAddressRequestContext {
    var routerContext = RouterBuilderContext()
    var coreContext: CoreRequestContextStorage
    let remoteAddress: SocketAddress?

    init(source: Source) {
        coreContext = .init(source: source)
        remoteAddress = source.channel.remoteAddress
    }
}

extension InApp {
    @Suite("The routers", .serialized)
    struct RouterTests {
        static let spellings = [
            "/predict", "/predict/", "//predict", "/PREDICT", "/Predict/", "/x://host/predict", "http://host/predict",
            "/predict?a=1", "/predict?a=http://b", "/predict;a", "/./predict", "/users/../predict", "/%70redict",
            "/predict%20", "/users/1", "/users//1/", "/USERS/1", "/x://y/users/1", "/users/..", "/users/a%20b",
            "/files/a", "/files/../files/a", "/files/a/../../predict", "/Files/a//b", "/files",
        ]

        static let policy = """
            limits:
              - {name: predict, match: {path: /predict}, rate: 1000/minute, algorithm: fixed-window}
              - {name: users, match: {path: '/users/{id}'}, rate: 1000/minute, algorithm: fixed-window}
              - {name: files, match: {path: '/files/*'}, rate: 1000/minute, algorithm: fixed-window}
            """

        private func limiter(_ policy: String, clock: ManualClock = ManualClock()) throws -> RequestLimiter {
            let reading = Policy.read(policy, file: "weir.yaml")
            let policy = try #require(reading.policy, "\(reading.diagnostics)")
            return try RequestLimiter(policy: policy, clock: clock)
        }

        /// Whatever reaches a handler says which limit it met.
        private func check(_ responder: some HTTPResponder<RemoteAddressContext>) async throws {
            try await withServer(responder) { try await check($0) }
        }

        private func check(_ port: Int) async throws {
            var reached: Set<String> = []
            for path in Self.spellings {
                let answer = try await exchangeApart(port, "GET", path)
                guard answer.status == 200 else { continue }
                reached.insert(answer.unchunked)
                #expect(
                    answer["RateLimit-Policy"]?.contains("\"\(answer.unchunked)\"") == true,
                    "\(path) reached \(answer.unchunked) past its limit: \(answer.text)")
            }
            #expect(reached == ["predict", "users", "files"])
        }

        private func fill(_ router: Router<RemoteAddressContext>, prefix: String = "") {
            router.get("\(prefix)Predict") { _, _ in "predict" }
            router.get("users/{name}") { _, _ in "users" }
            router.get("files/**") { _, _ in "files" }
        }

        @Test("no spelling of a path that reaches a handler gets past its limit, whether case counts or not")
        func spellings() async throws {
            let exact = Router(context: RemoteAddressContext.self)
            exact.add(middleware: RateLimitMiddleware(try limiter(Self.policy)))
            exact.get("predict") { _, _ in "predict" }
            exact.get("users/{name}") { _, _ in "users" }
            exact.get("files/**") { _, _ in "files" }
            try await check(exact.buildResponder())
            for spelled in ["/predict", "/Predict"] {
                let caseless = Router(context: RemoteAddressContext.self, options: .caseInsensitive)
                caseless.add(
                    middleware: RateLimitMiddleware(
                        try limiter(Self.policy.replacingOccurrences(of: "path: /predict", with: "path: \(spelled)"))))
                fill(caseless)
                try await check(caseless.buildResponder())
            }
        }

        @Test("nor with a result-builder router, before the routes and inside them")
        func builders() async throws {
            for options in [RouterBuilderOptions(), .caseInsensitive] {
                let outermost = try limiter(Self.policy)
                let outer = RouterBuilder(context: BuilderContext.self, options: options) {
                    RateLimitMiddleware<BuilderContext>(outermost)
                    Get("predict") { _, _ in "predict" }
                    Get("users/{name}") { _, _ in "users" }
                    Get("files/**") { _, _ in "files" }
                }
                try await withServer(outer) { try await check($0) }
                let limiter = try limiter(Self.policy)
                let inner = RouterBuilder(context: BuilderContext.self, options: options) {
                    Get("predict") {
                        RateLimitMiddleware<BuilderContext>(limiter)
                        Handle { _, _ in "predict" }
                    }
                    RouteGroup("users") {
                        RateLimitMiddleware<BuilderContext>(limiter)
                        Get("{name}") { _, _ in "users" }
                    }
                    Get("files/**") {
                        RateLimitMiddleware<BuilderContext>(limiter)
                        Handle { _, _ in "files" }
                    }
                }
                try await withServer(inner) { try await check($0) }
            }
        }

        @Test("names of parameters may be in any case, and a path that only reads as exempt is not")
        func namesAndExemptions() async throws {
            let router = Router(context: RemoteAddressContext.self, options: .caseInsensitive)
            router.add(
                middleware: RateLimitMiddleware(
                    try limiter(
                        """
                        access: [{match: {path: /files/secret}, deny: true}]
                        exempt: [{path: /health}]
                        limits: [{name: a, match: {path: "/v1/*"}, rate: 1/minute}]
                        """)))
            router.get("files/{fileName}") { _, _ in "file" }
            router.get("v1/**") { _, _ in Response(status: .ok, headers: [.retryAfter: "7"]) }
            router.get("health") { _, _ in "ok" }
            try await withServer(router.buildResponder()) { (port: Int) async throws -> Void in
                #expect(try await exchangeApart(port, "GET", "/FILES/Secret").status == 403)
                #expect(try await exchangeApart(port, "GET", "/files/other").status == 200)
                let first = try await exchangeApart(port, "GET", "/v1/chat/../../health")
                #expect(first.status == 200 && first["RateLimit"] != nil)
                #expect(first["Retry-After"] == "7", "the handler's own")
                #expect(try await exchangeApart(port, "GET", "/v1/chat/../../health").status == 429)
                #expect(try await exchangeApart(port, "GET", "/health")["RateLimit"] == nil)
            }
        }

        @Test("case counts where the router says so")
        func caseCounts() async throws {
            let router = Router(context: RemoteAddressContext.self)
            router.add(
                middleware: RateLimitMiddleware(
                    try limiter("limits: [{name: a, match: {path: /Predict}, rate: 1/minute}]")))
            router.get("Predict") { _, _ in "upper" }
            router.get("Other") { _, _ in "other" }
            try await withServer(router.buildResponder()) { (port: Int) async throws -> Void in
                #expect(try await exchangeApart(port, "GET", "/Predict").status == 200)
                #expect(try await exchangeApart(port, "GET", "/Predict").status == 429)
                #expect(try await exchangeApart(port, "GET", "/predict").status == 404)
                #expect(try await exchangeApart(port, "GET", "/Other")["RateLimit"] == nil)
            }
        }

        @Test("the key 'route' is the router's template, so that /users/1 and /users/2 share a budget")
        func templates() async throws {
            let router = Router(context: RemoteAddressContext.self)
            router.add(
                middleware: RateLimitMiddleware(try limiter("limits: [{name: a, key: [route], rate: 1/minute}]")))
            router.get("users/:id") { _, _ in "user" }
            router.get("items/:id") { _, _ in "item" }
            try await withServer(router.buildResponder()) { (port: Int) async throws -> Void in
                #expect(try await exchangeApart(port, "GET", "/users/1").status == 200)
                #expect(try await exchangeApart(port, "GET", "/users/2").status == 429)
                #expect(try await exchangeApart(port, "GET", "/items/1").status == 200)
                #expect(try await exchangeApart(port, "GET", "/items/2").status == 429)
            }
        }

        @Test("a budget for each value of a parameter is the router's, however the path is spelled")
        func parameters() async throws {
            let router = Router(context: RemoteAddressContext.self)
            router.add(
                middleware: RateLimitMiddleware(
                    try limiter(
                        "limits: [{name: a, match: {path: '/users/{id}'}, key: [{param: id}], rate: 1/minute}]")))
            router.get("users/:id") { _, context in context.parameters.get("id") ?? "" }
            try await withServer(router.buildResponder()) { (port: Int) async throws -> Void in
                #expect(try await exchangeApart(port, "GET", "/users/1").status == 200)
                for path in ["/users/1/", "//users/1", "/users/%31", "/a://b/users/1", "/c://d/users/1"] {
                    let answer = try await exchangeApart(port, "GET", path)
                    #expect(answer.status != 200, "\(path): \(answer.text)")
                }
                #expect(try await exchangeApart(port, "GET", "/users/2").status == 200)
            }
        }
    }
}
