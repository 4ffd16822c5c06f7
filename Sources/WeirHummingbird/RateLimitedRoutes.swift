public import HTTPTypes
public import Hummingbird
import Weir
public import WeirHTTP

/// Routes with a limit of their own, or without any. Routes added here are registered on the router or group that it
/// was created from.
public struct RateLimitedRoutes<Context: RequestContext>: RouterMethods {
    private let group: RouterGroup<Context>
    private let limiter: RequestLimiter
    private let fact: RouteFact
    /// Nil for routes that are free of all limits.
    private let middleware: ObjectIdentifier?
    /// The path in front of its routes.
    fileprivate let prefix: RouterPath
    /// Whether they are a collection's, so that the router's part of the path isn't known.
    fileprivate let isCollected: Bool

    /// Routes behind a middleware.
    init(_ parent: any RouterMethods<Context>, _ middleware: RateLimitMiddleware<Context>) {
        let group = parent.group()
        group.add(middleware: middleware as any MiddlewareProtocol<Request, Response, Context>)
        self.init(group, in: parent, middleware)
    }

    /// Routes of a group that has the middleware already.
    ///
    /// - Parameters:
    ///   - group: the group.
    ///   - parent: the router or group with the group's path.
    init(
        _ group: RouterGroup<Context>, in parent: any RouterMethods<Context>, _ middleware: RateLimitMiddleware<Context>
    ) {
        self.group = group
        limiter = middleware.state.limiter
        fact = middleware.state.source.limitName.map { .behind($0) } ?? .passing
        self.middleware = ObjectIdentifier(middleware.state)
        (prefix, isCollected) = Self.place(of: parent)
    }

    /// Routes that are free of all limits.
    ///
    /// - Parameter mount: the path that the collection of the routes is added at; nil if they are in none.
    init(freeing parent: any RouterMethods<Context>, of limiter: RequestLimiter, mountedAt mount: RouterPath?) {
        group = parent.group()
        self.limiter = limiter
        fact = .free
        middleware = nil
        let (path, isCollected) = Self.place(of: parent)
        precondition(
            !isCollected || mount != nil,
            "a collection doesn't know the path that it is added at: say it with rateLimitExempt(from:mountedAt:)")
        prefix = mount.map { $0.appendingPath(path) } ?? path
        self.isCollected = false
    }

    /// Adds a route.
    @discardableResult
    public func on<Responder: HTTPResponder>(
        _ path: RouterPath, method: HTTPRequest.Method, responder: Responder
    ) -> Self where Responder.Context == Context {
        let whole = prefix.appendingPath(path)
        // A router that ignores case keeps the path in lower case.
        for path in Set([whole, whole.lowercased()].map(\.description)) {
            limiter.note(AppRoute(method.rawValue, path), fact, isCollected: isCollected, of: middleware)
        }
        group.on(path, method: method, responder: responder)
        return self
    }

    /// Adds a middleware behind the limit. It applies to routes added after this call.
    @discardableResult
    public func add(middleware: any MiddlewareProtocol<Request, Response, Context>) -> Self {
        group.add(middleware: middleware)
        return self
    }

    /// The path in front of a group's routes, and whether they are a collection's. The group doesn't expose its path,
    /// so it is read by reflection.
    private static func place(of parent: Any) -> (path: RouterPath, isCollected: Bool) {
        if let placed = parent as? any PlacedRoutes { return (placed.prefix, placed.isCollected) }
        let mirror = Mirror(reflecting: parent)
        guard let outer = mirror.descendant("parent") else { return ("", parent is any CollectedRoutes) }
        let (prefix, isCollected) = place(of: outer)
        // A group that only changes the context has no path.
        guard let path = mirror.descendant("path") as? RouterPath else { return (prefix, isCollected) }
        return (prefix.appendingPath(path), isCollected)
    }
}

/// Routes that know where they are, whatever their context.
private protocol PlacedRoutes {
    var prefix: RouterPath { get }
    var isCollected: Bool { get }
}

extension RateLimitedRoutes: PlacedRoutes {}

/// A collection of routes, whatever their context.
private protocol CollectedRoutes {}

extension RouteCollection: CollectedRoutes {}

extension RouterMethods where Context: RemoteAddressRequestContext {
    /// Adds routes with a limit of their own.
    ///
    /// ```swift
    /// try router.rateLimited("predict", to: .perMinute(20), by: .client, using: limiter).post("predict") { … }
    /// ```
    ///
    /// - Parameters:
    ///   - name: the limit's name, 1 to 64 of `A-Za-z0-9_-`.
    ///   - rates: one or more windows, each a number of requests and a period.
    ///   - key: the key that each budget is kept for; the client by default.
    ///   - limiter: supplies the store and the policy's other settings.
    ///   - identifyClient: identifies a client that the app knows. By default, the client that the enclosing middleware
    ///     of the same limiter identified.
    ///   - onDenied: makes the app's own answers to requests that this limit denies. If it returns nil, the enclosing
    ///     middleware's handler is asked.
    /// - Throws: `PolicyError` when the name is already taken.
    public func rateLimited(
        _ name: String, to rates: Rate..., by key: KeyDimension..., using limiter: RequestLimiter,
        identifyClient: (@Sendable (Request, Context) -> AppClient?)? = nil,
        onDenied: RateLimitMiddleware<Context>.DenialHandler? = nil
    ) throws(PolicyError) -> RateLimitedRoutes<Context> {
        if rates.isEmpty {
            return try rateLimited(name, using: limiter, identifyClient: identifyClient, onDenied: onDenied)
        }
        return try rateLimited(
            LimitRule(name, rates, by: key.isEmpty ? [.client] : key), using: limiter, identifyClient: identifyClient,
            onDenied: onDenied)
    }

    /// Adds routes with a limit of the policy, by its name. All of their requests count, whatever the limit's `match`
    /// says; with `match: none`, only they do.
    ///
    /// ```swift
    /// try router.rateLimited("expensive", using: limiter).post("report") { … }
    /// ```
    ///
    /// - Parameters:
    ///   - name: the limit's name.
    ///   - limiter: the policy and its store.
    ///   - identifyClient: identifies a client that the app knows. By default, the client that the enclosing middleware
    ///     of the same limiter identified.
    ///   - onDenied: makes the app's own answers to requests that this limit denies. If it returns nil, the enclosing
    ///     middleware's handler is asked.
    /// - Throws: `PolicyError` when the policy has no such limit.
    public func rateLimited(
        _ name: String, using limiter: RequestLimiter,
        identifyClient: (@Sendable (Request, Context) -> AppClient?)? = nil,
        onDenied: RateLimitMiddleware<Context>.DenialHandler? = nil
    ) throws(PolicyError) -> RateLimitedRoutes<Context> {
        RateLimitedRoutes(
            self,
            try RateLimitMiddleware(limit: name, using: limiter, identifyClient: identifyClient, onDenied: onDenied))
    }

    /// Adds routes with a limit of their own, given as a rule.
    ///
    /// - Parameters:
    ///   - rule: the limit. Its conditions on paths and methods apply too.
    ///   - limiter: supplies the store and the policy's other settings.
    ///   - identifyClient: identifies a client that the app knows. By default, the client that the enclosing middleware
    ///     of the same limiter identified.
    ///   - onDenied: makes the app's own answers to requests that this limit denies. If it returns nil, the enclosing
    ///     middleware's handler is asked.
    /// - Throws: `PolicyError` when the name is already taken or the rule is invalid.
    public func rateLimited(
        _ rule: LimitRule, using limiter: RequestLimiter,
        identifyClient: (@Sendable (Request, Context) -> AppClient?)? = nil,
        onDenied: RateLimitMiddleware<Context>.DenialHandler? = nil
    ) throws(PolicyError) -> RateLimitedRoutes<Context> {
        RateLimitedRoutes(
            self, try RateLimitMiddleware(rule, using: limiter, identifyClient: identifyClient, onDenied: onDenied))
    }
}

extension RouterMethods {
    /// Adds routes that are free of all limits of a policy. Access rules still apply.
    ///
    /// ```swift
    /// router.rateLimitExempt(from: limiter).get("health") { … }
    /// ```
    ///
    /// The routes are freed in every router that the limiter limits. `RouterBuilder` finds the route only behind the
    /// limits; exempt its routes in the policy (`exempt`).
    ///
    /// - Parameters:
    ///   - limiter: the limiter of the app's middlewares.
    ///   - mount: the path that a `RouteCollection` is added at, which it doesn't know itself. Nil for routes of a
    ///     router or a group.
    /// - Precondition: for routes of a collection, `mount` isn't nil.
    public func rateLimitExempt(
        from limiter: RequestLimiter, mountedAt mount: RouterPath? = nil
    ) -> RateLimitedRoutes<Context> {
        RateLimitedRoutes(freeing: self, of: limiter, mountedAt: mount)
    }
}
