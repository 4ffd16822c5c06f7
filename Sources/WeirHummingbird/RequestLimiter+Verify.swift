public import Hummingbird
public import WeirHTTP

extension RequestLimiter {
    /// Holds the policy against the routes of a router, to be called when all of them are there.
    ///
    /// ```swift
    /// let coverage = try limiter.verify(router)
    /// for route in coverage.unlimited { logger.warning("nothing limits \(route)") }
    /// ```
    ///
    /// A route that was added before the middleware is found when the middleware is the router's first, or when the route
    /// was there before any; a middleware of a group is seen when the router has none. Hummingbird doesn't show more of a
    /// route's chain. A router of `HummingbirdRouter`'s doesn't tell its routes: `verify(_:)` with a list of routes does it
    /// for those.
    ///
    /// - Returns: the routes that no limit covers.
    /// - Throws: `PolicyError` that names each rule whose path fits none of the routes.
    public func verify<Context>(_ router: Router<Context>) throws(PolicyError) -> RouteCoverage {
        let chains = RouterChains(router)
        return try verify(
            router.routes.map { AppRoute($0.method.rawValue, "\($0.path)") }, passes: chains.passesLimiter)
    }
}

/// A middleware that limits, whatever its context.
protocol LimitingMiddleware {}

extension RateLimitMiddleware: LimitingMiddleware {}

/// What can be seen, by reflection, of the middleware before each route.
private struct RouterChains {
    /// The outermost middleware of each route that has one.
    private var outermost: [AppRoute: Any] = [:]
    /// Where the limiting middleware stands in the router's list.
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
        // The router's first, or a group's in a router that has none.
        if middleware is any LimitingMiddleware { return true }
        guard let place else { return false }
        if place == 0 { return false }
        // What stands behind the first can't be seen; but a route that was there before the first has it not either.
        return first.map { type(of: $0) == type(of: middleware) } ?? false
    }
}
