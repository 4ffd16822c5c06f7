public import Hummingbird
public import WeirHTTP

extension RequestLimiter {
    /// Checks the policy against a router's routes. Call it after adding all of them.
    ///
    /// ```swift
    /// let coverage = try limiter.verify(router)
    /// for route in coverage.unlimited { logger.warning("nothing limits \(route)") }
    /// ```
    ///
    /// Detects routes added before the limiter only if the limiter is the router's first middleware or the route
    /// precedes all middleware. Group middleware is detected only if the router has none. Hummingbird exposes no more
    /// of a route's chain. `RouterBuilder` does not expose its routes; pass them to `verify(_:)` as a list.
    ///
    /// - Returns: the routes, and those that no limit covers.
    /// - Throws: `PolicyError`, which names each rule whose path matches no route.
    public func verify<Context>(_ router: Router<Context>) throws(PolicyError) -> RouteCoverage {
        let chains = RouterChains(router)
        return try verify(
            router.routes.map { AppRoute($0.method.rawValue, "\($0.path)") }, passes: chains.passesLimiter)
    }
}

/// A middleware that limits, whatever its context.
protocol LimitingMiddleware {}

extension RateLimitMiddleware: LimitingMiddleware {}

/// The part of each route's middleware chain that reflection can see.
private struct RouterChains {
    /// The outermost middleware of each route that has one.
    private var outermost: [AppRoute: Any] = [:]
    /// The limiting middleware's index in the router's list.
    private var place: Int?
    private var first: Any?

    init<Context>(_ router: Router<Context>) {
        let list = Mirror(reflecting: router.middlewares).descendant("middlewares") as? [Any] ?? []
        place = list.firstIndex { $0 is any LimitingMiddleware }
        first = list.first
        if let root = Mirror(reflecting: router).descendant("trie", "root") { visit(root, Context.self) }
    }

    private mutating func visit<Context: RequestContext>(_ node: Any, _ context: Context.Type) {
        let mirror = Mirror(reflecting: node)
        if let path = mirror.descendant("value", "some", "path") as? RouterPath,
            let methods = mirror.descendant("value", "some", "methods")
                as? [HTTPRequest.Method: any HTTPResponder<Context>]
        {
            for (method, responder) in methods {
                let route = AppRoute(method.rawValue, "\(path)")
                outermost[route] = Mirror(reflecting: responder).descendant("middleware")
            }
        }
        for child in mirror.descendant("children") as? [AnyObject] ?? [] { visit(child, context) }
    }

    func passesLimiter(_ route: AppRoute) -> Bool {
        guard let middleware = outermost[route] else { return false }
        // The outermost middleware is the router's first, or a group's in a router that has none.
        if middleware is any LimitingMiddleware { return true }
        guard let place else { return false }
        if place == 0 { return false }
        // Only the first middleware is visible. A route that was added before the limiter but after the first still
        // has the first.
        return first.map { type(of: $0) == type(of: middleware) } ?? false
    }
}
