public import Hummingbird
import Logging
public import NIOCore
import Weir
public import WeirHTTP

/// Limits requests to a Hummingbird app, with the gateway's policy, headers and response bodies.
///
/// ```swift
/// let limiter = try RequestLimiter(policy: Policy(contentsOf: "weir.yaml"))
/// let router = Router(context: RemoteAddressContext.self)
/// router.add(middleware: RateLimitMiddleware(limiter))
/// ```
///
/// It applies to routes added after it; `limiter.verify(router)` finds routes that it missed. When middlewares of one
/// limiter are nested, the inner one applies only limits the outer one did not. Create one per level; adding the same
/// value at two levels charges each request twice.
///
/// Handlers don't see the bypass secret. They see headers that only trusted proxies may send only when a trusted proxy
/// sent them.
///
/// A handler's error is rethrown as it is. ``RateLimitHeaders``, added first, puts the limit headers onto the response
/// that is made of it. If a cost depends on the status and the thrown error is not an `HTTPResponseError`, the
/// highest configured cost is charged.
///
/// Behind a router, it knows the route. A rule whose path matches the route's template applies however the request
/// spelled its path. For a limit without a path, `key: [route]` is the template.
public struct RateLimitMiddleware<Context: RequestContext>: RouterMiddleware {
    /// Makes an app's own answer to a request that Weir stops: 429 when a limit denied it, or 400, 403, 413 or 503.
    ///
    /// It gets the denial, the request, whose body must not be read, and the context. The limit headers and Retry-After
    /// are added to the response that it returns. If it returns nil, the next enclosing middleware's handler is asked,
    /// and at last Weir makes its own answer. What it throws is treated as an error of the app's handlers.
    public typealias DenialHandler = @Sendable (Denial, Request, Context) async throws -> Response?

    let state: MiddlewareState
    private let peer: @Sendable (Context) -> SocketAddress?
    private let identifyClient: (@Sendable (Request, Context) -> AppClient?)?
    private let onDenied: DenialHandler?
    /// Shows a handler the limits of its request; nil if its context has no place for them.
    private let show: (@Sendable (inout Context, RateLimit) -> Void)?

    /// Limits by a policy. The policy says how clients are identified; the default is by address.
    ///
    /// - Parameters:
    ///   - limiter: the policy and its store.
    ///   - identifyClient: identifies a client that the app knows, such as a logged-in user, and optionally its tier.
    ///     Return nil to use the policy's client sources.
    ///   - onDenied: makes the app's own answers, for requests that this middleware or a route limit nested in it
    ///     stops. Return nil for Weir's answer.
    public init(
        _ limiter: RequestLimiter, identifyClient: (@Sendable (Request, Context) -> AppClient?)? = nil,
        onDenied: DenialHandler? = nil
    ) where Context: RemoteAddressRequestContext {
        self.init(limiter, peer: { $0.remoteAddress }, identifyClient: identifyClient, onDenied: onDenied)
    }

    /// Limits by a policy, for contexts that keep the peer's address elsewhere.
    ///
    /// - Parameters:
    ///   - limiter: the policy and its store.
    ///   - peer: returns the address at the other end of the connection. Requests without one share one budget.
    ///   - identifyClient: identifies a client that the app knows. Return nil to use the policy's client sources.
    ///   - onDenied: makes the app's own answers. Return nil for Weir's answer.
    public init(
        _ limiter: RequestLimiter, peer: @escaping @Sendable (Context) -> SocketAddress?,
        identifyClient: (@Sendable (Request, Context) -> AppClient?)? = nil, onDenied: DenialHandler? = nil
    ) {
        self.init(
            MiddlewareState(limiter, .policy), peer: peer, identifyClient: identifyClient, onDenied: onDenied)
        for line in limiter.policy.unusedInApps { Logger(label: "weir").warning("\(line)") }
    }

    init(
        _ state: MiddlewareState, peer: @escaping @Sendable (Context) -> SocketAddress?,
        identifyClient: (@Sendable (Request, Context) -> AppClient?)?, onDenied: DenialHandler?
    ) {
        self.state = state
        self.peer = peer
        self.identifyClient = identifyClient
        self.onDenied = onDenied
        show = (Context.self as? any RateLimitRequestContext.Type)?.showing(in: Context.self)
    }

    /// Decides the request, then passes it on, delays it or answers it.
    ///
    /// - Throws: the handler's error, as the type's description says.
    public func handle(
        _ request: Request, context: Context, next: (Request, Context) async throws -> Response
    ) async throws -> Response {
        let limited = state.begin(request, in: context, isShown: show != nil)
        let peer = state.address(peer(context))
        if limited.mayNest || limited.view.needsMore {
            return try await handleFully(request, limited, peer: peer, context: context, next: next)
        }
        // Most requests take this path, in which nothing needs a second look.
        switch limited.begin(request, peer: peer, client: identifyClient?(request, context)) {
        case .verdict(.pass(delay: .zero)): break
        case let step:
            let (verdict, reread) = try await limited.decide(step, request)
            guard case .pass(delay: .zero) = verdict, reread == nil else {
                return try await carryOut(
                    verdict, limited, reread ?? request, peer: peer, context: context, next: next)
            }
        }
        if limited.mustFinish { limited.reachedHandler() }
        var response: Response
        do {
            response = try await next(request, context)
        } catch {
            limited.failed(error)
            throw error
        }
        limited.answer(&response, to: request)
        return response
    }

    /// Handles a request that is counted, logged, nested, shown to its handler, or has headers to hide from it.
    private func handleFully(
        _ request: Request, _ limited: MiddlewareRequest, peer: IPAddress, context: Context,
        next: (Request, Context) async throws -> Response
    ) async throws -> Response {
        let client = identifyClient?(request, context) ?? limited.enclosingClient
        if limited.mayNest {
            limited.client = client
            if limited.nestsInItself(request.head) { throw NestedMiddlewareError.log(context.logger) }
        }
        let start = limited.view.metrics?.start()
        let (verdict, reread) = try await limited.decide(limited.begin(request, peer: peer, client: client), request)
        limited.view.metrics?.countDecision(since: start)
        return try await carryOut(verdict, limited, reread ?? request, peer: peer, context: context, next: next)
    }

    /// Carries out any verdict.
    ///
    /// - Parameter request: the request whose body can still be read.
    private func carryOut(
        _ verdict: LimitedRequest.Verdict, _ limited: MiddlewareRequest, _ request: Request, peer: IPAddress,
        context: Context, next: (Request, Context) async throws -> Response
    ) async throws -> Response {
        if let onDenied { limited.onDenied = { try await onDenied($0, request, context) } }
        limited.observe(verdict, request, context.logger)
        switch limited.carryOut(verdict) {
        case .answer(let answer):
            return try await limited.send(answer, to: request)
        case .hold(let delay): try await limited.hold(delay)
        case .forward: break
        }
        var shown = request
        if let head = limited.view.withoutSecrets(request.head, peer: peer) {
            shown = Request(head: head, body: request.body)
        }
        var context = context
        if let show {
            limited.show(context.logger)
            show(&context, RateLimit(limited))
        }
        limited.reachedHandler()
        var response: Response
        do {
            if limited.mayNest {
                let enclosing = MiddlewareState.EnclosingRequest(limited)
                defer { enclosing.leave() }
                response = try await MiddlewareState.$enclosing.withValue(enclosing) {
                    [context] in try await next(shown, context)
                }
            } else {
                response = try await next(shown, context)
            }
        } catch {
            limited.failed(error)
            throw error
        }
        limited.answer(&response, to: request)
        return response
    }
}

extension RateLimitRequestContext {
    /// How a context of this type shows a handler its limits, for callers that know the type by another name.
    fileprivate static func showing<Context>(in _: Context.Type) -> (@Sendable (inout Context, RateLimit) -> Void)? {
        { context, rateLimit in
            guard var own = context as? Self else { return }
            own.rateLimit = rateLimit
            if let shown = own as? Context { context = shown }
        }
    }
}
