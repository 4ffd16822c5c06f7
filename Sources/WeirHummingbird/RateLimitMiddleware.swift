public import Hummingbird
public import NIOCore
public import Weir
public import WeirHTTP

/// Limits the requests of a Hummingbird app by the same policy, with the same headers and bodies, as the gateway does.
///
/// ```swift
/// let limiter = try RequestLimiter(policy: .file("weir.yaml"))
/// let router = Router(context: ClientContext.self)
/// router.add(middleware: RateLimitMiddleware(limiter))
/// ```
///
/// It applies to the routes that are added after it; `limiter.verify(router)` finds those that
/// it missed. A middleware of the same limiter inside another decides only what that one didn't; make one for each place, for
/// the same value added twice doesn't know of itself. A handler sees neither the
/// bypass's secret nor, unless a trusted proxy sent them, the headers that only those may send. An error that a handler
/// throws keeps its type, and its response gets the headers if it makes one itself; where a cost hangs on the response's status, one
/// that makes none costs what the dearest status does.
///
/// Behind a router it knows the route: a rule whose path fits the route's template applies, however a request
/// spelled its path, and `key: [route]` of a limit without a path is the template.
public struct RateLimitMiddleware<Context: RequestContext>: RouterMiddleware {
    private let engine: LimitEngine
    let limiter: RequestLimiter
    private let peer: @Sendable (Context) -> SocketAddress?
    private let client: (@Sendable (Request, Context) -> AppClient?)?
    private let denied: (@Sendable (Denial) -> Void)?

    /// Limits by a policy. Clients are told apart as the policy says, by their address if it says nothing.
    ///
    /// - Parameters:
    ///   - limiter: the policy, and where it counts.
    ///   - client: names the client when the app knows it, such as a user who has logged in, and maybe its tier; nil for
    ///     whomever the policy finds.
    ///   - denied: is told of each request that a limit denied, here or in a route's own limit inside, for logs and metrics.
    public init(
        _ limiter: RequestLimiter, client: (@Sendable (Request, Context) -> AppClient?)? = nil,
        denied: (@Sendable (Denial) -> Void)? = nil
    ) where Context: RemoteAddressRequestContext {
        self.init(limiter, peer: { $0.remoteAddress }, client: client, denied: denied)
    }

    /// Limits by a policy, for contexts that keep the peer's address somewhere else.
    ///
    /// - Parameters:
    ///   - limiter: the policy, and where it counts.
    ///   - peer: the address at the other end of the connection. Requests without one share one budget.
    ///   - client: names the client when the app knows it.
    ///   - denied: is told of each request that a limit denied.
    public init(
        _ limiter: RequestLimiter, peer: @escaping @Sendable (Context) -> SocketAddress?,
        client: (@Sendable (Request, Context) -> AppClient?)? = nil, denied: (@Sendable (Denial) -> Void)? = nil
    ) {
        self.limiter = limiter
        engine = LimitEngine(limiter)
        self.peer = peer
        self.client = client
        self.denied = denied
    }

    public func handle(
        _ request: Request, context: Context, next: (Request, Context) async throws -> Response
    ) async throws -> Response {
        let exchange = engine.exchange(for: request, in: context)
        let peer = engine.address(peer(context))
        let client = client?(request, context) ?? exchange.outerClient
        if exchange.hasRouteLimits { exchange.client = client }
        exchange.denied = denied
        let verdict: LimitedRequest.Verdict
        switch exchange.begin(request, peer: peer, client: client) {
        case .verdict(let first): verdict = exchange.conclude(first)
        case .pending(let answer): verdict = exchange.conclude(decisions: await answer.value)
        case let step:
            let (verdict, reread) = try await exchange.decide(step, request, peer: peer, client: client)
            return try await answer(verdict, exchange, reread ?? request, peer, context, next)
        }
        guard case .pass(delay: 0) = verdict, !exchange.hasRouteLimits, !engine.hidesHeaders else {
            return try await answer(verdict, exchange, request, peer, context, next)
        }
        // Mostly: the request goes on as it came, and no room is made for another.
        var response: Response
        do {
            response = try await next(request, context)
        } catch {
            throw exchange.failed(error)
        }
        exchange.answer(&response, to: request)
        return response
    }

    /// Does what the verdict says, whatever that is.
    ///
    /// - Parameter request: whose body can be read.
    private func answer(
        _ verdict: LimitedRequest.Verdict, _ exchange: LimitExchange, _ request: Request, _ peer: IPAddress,
        _ context: Context, _ next: (Request, Context) async throws -> Response
    ) async throws -> Response {
        switch verdict {
        case .refuse(let problem):
            exchange.tellDenied(request)
            return exchange.refuse(problem, to: request)
        case .pass(let delay):
            if delay > 0, let problem = try await exchange.wait(delay) { return exchange.refuse(problem, to: request) }
            let shown = engine.withoutSecrets(request, peer: peer) ?? request
            var response: Response
            do {
                if exchange.hasRouteLimits {
                    let enclosing = LimitEngine.Enclosing(exchange)
                    defer { enclosing.leave() }
                    response = try await LimitEngine.$enclosing.withValue(enclosing) { try await next(shown, context) }
                } else {
                    response = try await next(shown, context)
                }
            } catch {
                throw exchange.failed(error)
            }
            exchange.answer(&response, to: request)
            return response
        }
    }
}

/// A request that a limit denied. Nothing in it is a secret; the method and the path are as the client made them up.
public struct Denial: Sendable, Hashable {
    /// The names of the limits that deny, in the policy's order.
    public var limits: [String]
    /// As sent: no label for a metric.
    public var method: String
    /// The router's template, such as `/users/{id}`: few enough to be a metric's label. Nil when no route was found.
    public var route: String?
    /// As the policy reads it.
    public var path: String
    /// A hash, the same for the same client while the process lives.
    public var client: String
    /// Microseconds; nil when waiting can't help.
    public var retryAfter: Ticks?
}
