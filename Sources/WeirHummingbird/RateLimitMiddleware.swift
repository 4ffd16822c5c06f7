public import Hummingbird
public import NIOCore
import Weir
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
    private let state: MiddlewareState
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
        state = MiddlewareState(limiter)
        self.peer = peer
        self.client = client
        self.denied = denied
    }

    public func handle(
        _ request: Request, context: Context, next: (Request, Context) async throws -> Response
    ) async throws -> Response {
        let limited = state.begin(request, in: context)
        let peer = state.address(peer(context))
        let client = client?(request, context) ?? limited.enclosingClient
        if limited.mayNest { limited.client = client }
        limited.denied = denied
        let verdict: LimitedRequest.Verdict
        switch limited.begin(request, peer: peer, client: client) {
        case .verdict(let first): verdict = limited.conclude(first)
        case .pending(let answer): verdict = limited.conclude(decisions: await answer.value)
        case let step:
            let (verdict, reread) = try await limited.decide(step, request)
            return try await carryOut(verdict, limited, reread ?? request, peer: peer, context: context, next: next)
        }
        guard case .pass(delay: 0) = verdict, !limited.mayNest, !state.hidesHeaders else {
            return try await carryOut(verdict, limited, request, peer: peer, context: context, next: next)
        }
        // Mostly the request goes on as it came, and needs no room for another.
        var response: Response
        do {
            response = try await next(request, context)
        } catch {
            throw limited.failed(error)
        }
        limited.answer(&response, to: request)
        return response
    }

    /// Carries out any verdict.
    ///
    /// - Parameter request: the request whose body can be read.
    private func carryOut(
        _ verdict: LimitedRequest.Verdict, _ limited: MiddlewareRequest, _ request: Request, peer: IPAddress,
        context: Context, next: (Request, Context) async throws -> Response
    ) async throws -> Response {
        switch limited.carryOut(verdict) {
        case .answer(let answer):
            limited.tellDenied(request)
            return limited.send(answer, to: request)
        case .hold(let delay): try await limited.hold(delay)
        case .forward: break
        }
        let shown = state.withoutSecrets(request, peer: peer) ?? request
        var response: Response
        do {
            if limited.mayNest {
                let enclosing = MiddlewareState.EnclosingRequest(limited)
                defer { enclosing.leave() }
                response = try await MiddlewareState.$enclosing.withValue(enclosing) { try await next(shown, context) }
            } else {
                response = try await next(shown, context)
            }
        } catch {
            throw limited.failed(error)
        }
        limited.answer(&response, to: request)
        return response
    }
}
