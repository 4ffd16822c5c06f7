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
    /// Hummingbird hides part of a route's middlewares. A route is reported as unknown if a limit may be among those:
    /// if a group's ``RateLimitMiddleware`` was added in a statement of its own instead of a chain
    /// (`router.group("api").add(middleware: …).get(…)`) while the router has other middlewares.
    ///
    /// `RouterBuilder` does not expose its routes; pass them to `verify(_:)` as a list.
    ///
    /// - Returns: the routes that no limit covers, that are exempt, and of which it isn't known.
    /// - Throws: `PolicyError`, which names each rule whose path matches no route.
    public func verify<Context>(_ router: Router<Context>) throws(PolicyError) -> RouteCoverage {
        let routes = router.appRoutes
        let ambiguous = resolveCollected(among: routes)
        let chains = RouterChains(router, routes: Set(routes), self, ambiguous: ambiguous)
        return try verify(routes, passage: chains.passage)
    }
}

/// What can be seen of each route's middleware chain.
private struct RouterChains {
    /// The routes that pass a middleware of the whole policy.
    private var passing: Set<AppRoute>
    /// The routes that may pass one.
    private var doubtful: Set<AppRoute>
    /// The routes with middlewares of which only the outermost can be seen.
    private var opaque: Set<AppRoute> = []
    private let isAllKnown: Bool

    init<Context>(
        _ router: Router<Context>, routes: Set<AppRoute>, _ limiter: RequestLimiter, ambiguous: Set<AppRoute>
    ) {
        passing = limiter.passingRoutes
        doubtful = ambiguous
        let placements = limiter.placements.filter { $0.isIn(router) }
        for placement in placements { passing.formUnion(routes.subtracting(placement.before)) }

        let list = Mirror(reflecting: router.middlewares).descendant("middlewares") as? [Any] ?? []
        let states = list.map { MiddlewareState.all(in: $0).filter { $0.limiter.isRelated(to: limiter) } }
        var visible = Set(states.joined().map { ObjectIdentifier($0) })
        let chains = Self.outermost(of: router)
        for (route, middleware) in chains {
            let own = MiddlewareState.all(in: middleware).filter { $0.limiter.isRelated(to: limiter) }
            visible.formUnion(own.map { ObjectIdentifier($0) })
            for state in own {
                if let name = state.source.limitName {
                    limiter.note(route, .behind(name), of: ObjectIdentifier(state))
                } else {
                    passing.insert(route)
                }
            }
            opaque.insert(route)
            // A middleware of the router that was added unnoticed: whether it was there before the route isn't known.
            let isUnnoticed = states.dropFirst().joined().contains { state in
                !placements.contains { $0.middleware == ObjectIdentifier(state) }
            }
            if isUnnoticed, let first = list.first, type(of: first) == type(of: middleware) { doubtful.insert(route) }
        }
        isAllKnown = limiter.accountsForAll(besides: visible)
    }

    func passage(_ route: AppRoute) -> RoutePassage {
        if passing.contains(route) { return .passes }
        if doubtful.contains(route) { return .unknown }
        return isAllKnown || !opaque.contains(route) ? .bypasses : .unknown
    }

    /// The outermost middleware of each route that has one.
    private static func outermost<Context>(of router: Router<Context>) -> [AppRoute: Any] {
        var found: [AppRoute: Any] = [:]
        func visit(_ node: Any) {
            let mirror = Mirror(reflecting: node)
            if let path = mirror.descendant("value", "some", "path") as? RouterPath,
                let methods = mirror.descendant("value", "some", "methods")
                    as? [HTTPRequest.Method: any HTTPResponder<Context>]
            {
                for (method, responder) in methods {
                    found[AppRoute(method.rawValue, "\(path)")] = Mirror(reflecting: responder).descendant("middleware")
                }
            }
            for child in mirror.descendant("children") as? [AnyObject] ?? [] { visit(child) }
        }
        if let root = Mirror(reflecting: router).descendant("trie", "root") { visit(root) }
        return found
    }
}
