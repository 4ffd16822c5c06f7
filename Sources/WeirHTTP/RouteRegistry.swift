import Synchronization
import Weir

/// What all limiters of one policy share: the policy in force, the limits that routes have in code, and what is known
/// of the routers that they limit.
final class RouteRegistry: Sendable {
    private struct State {
        /// The limits in code, by name.
        var rules: [String: LimitRule] = [:]
        /// The warm-ups of all limits. They outlive the limiters.
        var warmUps: [WarmUpKey: WarmUp] = [:]
        /// Whether the app was said to be ready.
        var isReady = false
        /// The names of the policy's limits that routes have in code.
        var attached: Set<String> = []
        /// The routes that each limit in code covers.
        var routes: [String: Set<AppRoute>] = [:]
        /// The routes that are free of all limits.
        var freed: Set<AppRoute> = []
        /// The routes that are known to pass a middleware of the policy.
        var passing: Set<AppRoute> = []
        /// What is known of routes in collections, whose whole paths aren't known yet.
        var collected: [(route: AppRoute, fact: RouteFact)] = []
        /// The middlewares made of the policy, and those of which the routes are known.
        var middlewares: Set<ObjectIdentifier> = []
        var accounted: Set<ObjectIdentifier> = []
        var placements: [MiddlewarePlacement] = []
    }

    private struct WarmUpKey: Hashable {
        let limit: String
        let until: WarmUpRule.Until
    }

    private let state = Mutex(State())
    private let nests = Atomic<Bool>(false)
    private let frees = Atomic<Bool>(false)
    private let changes = Atomic<Int>(0)

    // MARK: The policy in force

    /// Counts how often another limiter came into force.
    var generation: Int { changes.load(ordering: .acquiring) }

    func policyChanged() { changes.wrappingAdd(1, ordering: .releasing) }

    // MARK: Limits in code

    /// Whether middlewares may be nested: a route has a limit of its own, or the policy has several middlewares.
    var mayNest: Bool { nests.load(ordering: .acquiring) }

    /// Notes a middleware.
    func addMiddleware(_ middleware: ObjectIdentifier) {
        let count = state.withLock { state in
            state.middlewares.insert(middleware)
            return state.middlewares.count
        }
        if count > 1 { nests.store(true, ordering: .releasing) }
    }

    /// Adds a limit in code. The same limit may be added again, for example to a second router.
    ///
    /// - Parameter taken: names already in use elsewhere.
    /// - Returns: the name that a different limit already has, if there is one; then nothing is added.
    func add(_ rule: LimitRule, besides taken: Set<String>) -> String? {
        let clash = state.withLock { state -> String? in
            if state.rules[rule.name] == rule { return nil }
            let names = Set(state.rules.values.flatMap(\.windowNames))
            if let clash = rule.windowNames.first(where: { taken.contains($0) || names.contains($0) }) { return clash }
            state.rules[rule.name] = rule
            return nil
        }
        if clash == nil { nests.store(true, ordering: .releasing) }
        return clash
    }

    /// Notes that a limit of the policy is attached to routes by its name.
    func attach(_ name: String) {
        state.withLock { _ = $0.attached.insert(name) }
        nests.store(true, ordering: .releasing)
    }

    /// Records a fact about a route.
    ///
    /// - Parameters:
    ///   - isCollected: whether the route is in a collection, so that the beginning of its path isn't known.
    ///   - middleware: the middleware that the fact is about.
    func note(_ route: AppRoute, _ fact: RouteFact, isCollected: Bool, of middleware: ObjectIdentifier?) {
        state.withLock { state in
            if let middleware { state.accounted.insert(middleware) }
            if isCollected { return state.collected.append((route, fact)) }
            switch fact {
            case .behind(let name): state.routes[name, default: []].insert(route)
            case .passing: state.passing.insert(route)
            case .free: state.freed.insert(route)
            }
        }
        // A collected route is freed under any path in front of it.
        if fact == .free { frees.store(true, ordering: .releasing) }
    }

    /// Finds the whole paths of routes in collections, among a router's routes.
    ///
    /// - Returns: the routes of which more than one may be meant.
    func resolveCollected(among routes: [AppRoute]) -> Set<AppRoute> {
        var ambiguous: Set<AppRoute> = []
        for (route, fact) in state.withLock({ $0.collected }) {
            let meant = routes.filter {
                $0.method == route.method && ($0.template == route.template || $0.template.hasSuffix(route.template))
            }
            if meant.count == 1 {
                note(meant[0], fact, isCollected: false, of: nil)
            } else {
                ambiguous.formUnion(meant)
            }
        }
        return ambiguous
    }

    var passing: Set<AppRoute> { state.withLock { $0.passing } }

    /// Whether the routes of all middlewares are known.
    func accountsForAll(besides others: Set<ObjectIdentifier>) -> Bool {
        state.withLock { $0.middlewares.subtracting($0.accounted).isSubset(of: others) }
    }

    func routes(behind name: String) -> Set<AppRoute> { state.withLock { $0.routes[name] ?? [] } }

    /// The limits in code, without those of the policy.
    var rules: [LimitRule] { state.withLock { $0.rules.values.sorted { $0.name < $1.name } } }

    /// The names of the policy's limits that routes have in code.
    var attached: [String] { state.withLock { $0.attached.sorted() } }

    /// The warm-up of a limit, which continues unless the rule's has changed.
    ///
    /// - Parameters:
    ///   - previous: what a replaced limiter's warm-ups are continued from.
    ///   - start: when a new one starts.
    func warmUp(
        of rule: LimitRule, continuing previous: RouteRegistry?, startedAt start: Timestamp
    ) -> WarmUp? {
        guard let until = rule.warmUp?.until else { return nil }
        let key = WarmUpKey(limit: rule.name, until: until)
        let earlier = previous === self ? nil : previous?.state.withLock { $0.warmUps[key] }
        return state.withLock { state in
            if let own = state.warmUps[key] ?? earlier {
                state.warmUps[key] = own
                return own
            }
            let warmUp = WarmUp(until, startedAt: start)
            if state.isReady, case .ready = until.kind { warmUp.finish() }
            state.warmUps[key] = warmUp
            return warmUp
        }
    }

    /// Ends the warm-ups that wait for the app, or its upstream, to be ready, and those that come later.
    func endWarmUps() {
        let ending = state.withLock { state in
            state.isReady = true
            return state.warmUps.compactMap { key, warmUp in if case .ready = key.until.kind { warmUp } else { nil } }
        }
        for warmUp in ending { warmUp.finish() }
    }

    // MARK: Routes

    /// Whether any route is free of all limits.
    var hasFreeRoutes: Bool { frees.load(ordering: .acquiring) }

    var freed: Set<AppRoute> { state.withLock { $0.freed } }

    func place(_ placement: MiddlewarePlacement) {
        state.withLock { state in
            state.placements.append(placement)
            state.accounted.insert(placement.middleware)
        }
    }

    var placements: [MiddlewarePlacement] { state.withLock { $0.placements } }
}

/// What is known of a route.
package enum RouteFact: Sendable, Hashable {
    /// It is behind a limit in code, of this name.
    case behind(String)
    /// It passes a middleware of the whole policy.
    case passing
    /// It is free of all limits.
    case free
}

/// A place of a middleware in a router, noted when it was added.
package struct MiddlewarePlacement: Sendable {
    /// The middleware.
    package let middleware: ObjectIdentifier
    /// The router, as long as it lives.
    private let router: WeakReference
    /// The routes that the router had before. Those that it gets later pass the middleware.
    package let before: Set<AppRoute>

    package init(_ middleware: ObjectIdentifier, in router: AnyObject, before: Set<AppRoute>) {
        self.middleware = middleware
        self.router = WeakReference(router)
        self.before = before
    }

    /// Whether the middleware was added to a router.
    package func isIn(_ router: AnyObject) -> Bool { self.router.object === router }

    /// Sendable, because the object is only compared.
    private final class WeakReference: @unchecked Sendable {
        weak var object: AnyObject?

        init(_ object: AnyObject) { self.object = object }
    }
}
