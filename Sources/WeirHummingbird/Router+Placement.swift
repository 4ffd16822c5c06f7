public import Hummingbird
public import HummingbirdCore
import WeirHTTP

// Hummingbird does not tell which of the routes pass a middleware. For `verify`, these note it when the middleware
// is added.

extension Router {
    /// Adds a middleware that limits. It applies to routes added after this call.
    @discardableResult
    public func add(middleware: RateLimitMiddleware<Context>) -> Self {
        notePlacement(of: [middleware.state])
        return add(middleware: middleware as any MiddlewareProtocol<Request, Response, Context>)
    }

    /// Adds a stack of middlewares. It applies to routes added after this call.
    @discardableResult
    public func addMiddleware(
        @MiddlewareFixedTypeBuilder<Request, Response, Context> buildMiddlewareStack: () -> some MiddlewareProtocol<
            Request, Response, Context
        >
    ) -> Self {
        let stack = buildMiddlewareStack()
        notePlacement(of: MiddlewareState.all(in: stack))
        return add(middleware: stack as any MiddlewareProtocol<Request, Response, Context>)
    }

    private func notePlacement(of states: [MiddlewareState]) {
        guard !states.isEmpty else { return }
        let before = Set(appRoutes)
        for state in states {
            state.limiter.notePlacement(
                MiddlewarePlacement(ObjectIdentifier(state), in: self, before: before))
        }
    }

    /// The router's routes.
    var appRoutes: [AppRoute] { routes.map { AppRoute($0.method.rawValue, "\($0.path)") } }
}

extension RouterGroup {
    /// Adds a middleware that limits. It applies to routes added after this call.
    ///
    /// - Returns: the group. `RequestLimiter.verify(_:)` knows that routes added to it are limited.
    @discardableResult
    public func add(middleware: RateLimitMiddleware<Context>) -> RouterGroup<Context> {
        add(middleware: middleware as any MiddlewareProtocol<Request, Response, Context>)
        return RateLimitedRoutes(self, in: self, middleware).group()
    }
}

extension MiddlewareState {
    /// The limiting middlewares in a middleware, which may be a stack of several.
    static func all(in middleware: Any) -> [MiddlewareState] {
        if let limiting = middleware as? any LimitingMiddleware { return [limiting.state] }
        // Only Hummingbird's own stacks are looked into; another middleware's parts are its own affair.
        guard String(describing: type(of: middleware)).hasPrefix("_") else { return [] }
        return Mirror(reflecting: middleware).children.flatMap { all(in: $0.value) }
    }
}

/// A middleware that limits, whatever its context.
protocol LimitingMiddleware {
    var state: MiddlewareState { get }
}

extension RateLimitMiddleware: LimitingMiddleware {}
