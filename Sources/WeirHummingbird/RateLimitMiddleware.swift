public import Hummingbird
public import NIOCore
public import WeirHTTP

/// Limits the requests of a Hummingbird app by the same policy, with the same headers and bodies, as the gateway does.
///
/// ```swift
/// let limiter = try RequestLimiter(policy: .file("weir.yaml"))
/// let router = Router(context: ClientContext.self)
/// router.add(middleware: RateLimitMiddleware(limiter))
/// ```
///
/// It applies to the routes that are added after it; ``WeirHTTP/RequestLimiter/verify(_:limitedAfter:)`` finds those that
/// it missed. Behind a router it knows the route: a rule whose path fits the route's template applies, however a request
/// spelled its path, and `key: [route]` of a limit without a path is the template.
public struct RateLimitMiddleware<Context: RequestContext>: RouterMiddleware {
    private let engine: LimitEngine
    private let peer: @Sendable (Context) -> SocketAddress?
    private let client: (@Sendable (Request, Context) -> AppClient?)?

    /// Limits by a policy. Clients are told apart as the policy says, by their address if it says nothing.
    ///
    /// - Parameter client: names the client when the app knows it, such as a user who has logged in, and maybe its tier;
    ///   nil for whomever the policy finds.
    public init(
        _ limiter: RequestLimiter, client: (@Sendable (Request, Context) -> AppClient?)? = nil
    ) where Context: RemoteAddressRequestContext {
        self.init(limiter, peer: { $0.remoteAddress }, client: client)
    }

    /// Limits by a policy, for contexts that keep the peer's address somewhere else.
    ///
    /// - Parameters:
    ///   - peer: the address at the other end of the connection. Requests without one share one budget.
    ///   - client: names the client when the app knows it.
    public init(
        _ limiter: RequestLimiter, peer: @escaping @Sendable (Context) -> SocketAddress?,
        client: (@Sendable (Request, Context) -> AppClient?)? = nil
    ) {
        engine = LimitEngine(limiter)
        self.peer = peer
        self.client = client
    }

    public func handle(
        _ request: Request, context: Context, next: (Request, Context) async throws -> Response
    ) async throws -> Response {
        let exchange = engine.exchange(for: request, in: context)
        var request = request
        let verdict = try await exchange.decide(
            &request, peer: engine.address(peer(context)), client: client?(request, context))
        switch verdict {
        case .refuse(let problem): return exchange.refuse(problem, to: request)
        case .pass(let delay):
            try await exchange.wait(delay)
            let response: Response
            do {
                response = try await engine.passOn(exchange) { try await next(request, context) }
            } catch {
                throw exchange.failed(error)
            }
            return exchange.answer(response)
        }
    }
}
