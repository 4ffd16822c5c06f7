import Synchronization
public import Weir

/// A policy prepared to decide requests. The gateway, the middleware and the decision service all use it.
///
/// It keeps no state of a request; ``LimitedRequest`` does, and takes the request through it:
/// identify → match → cost → decide → headers.
public final class RequestLimiter: Sendable {
    /// The policy to enforce.
    public let policy: Policy
    /// The store that counts.
    public let store: any Store
    /// The store for `on_store_failure: local` while `store` fails; `store` itself when that can't fail.
    let localStore: any Store
    let identifier: ClientIdentifier
    let access: Matcher
    let exempt: Matcher
    let limits: Matcher
    let plans: [LimitPlan]
    let headers: LimitHeaders
    package let clock: any TickClock
    /// The store's key hasher when this limiter was made.
    let hasher: KeyHasher
    /// Hashes clients for logs.
    let clientHasher: KeyHasher
    private let givenClientHasher: KeyHasher?
    private let verifier: (any TokenVerifier)?
    private let lookup: (any ClientDirectory)?
    /// Whether paths are compared without regard to case, as some routers do.
    let ignoresCase: Bool
    /// Whether any rule or key looks at the host.
    let readsHost: Bool
    private let routes: RouteRegistry
    /// The policy that was put in force in place of this one. Only the limiter that an app made is asked.
    private let inForce = PolicyInForce()

    /// Holds the limiter in force. It is the first limiter's alone: one that later limiters held would hold them.
    private final class PolicyInForce: Sendable {
        private let replacement = Mutex<RequestLimiter?>(nil)

        var limiter: RequestLimiter? { replacement.withLock { $0 } }

        /// Replaces a limiter, unless another one has replaced it meanwhile.
        func replace(_ old: RequestLimiter, by new: RequestLimiter, of first: RequestLimiter) -> Bool {
            replacement.withLock { replacement in
                guard (replacement ?? first) === old else { return false }
                replacement = new
                return true
            }
        }
    }

    /// Prepares a policy.
    ///
    /// - Parameters:
    ///   - policy: the policy to enforce.
    ///   - store: the store that counts; memory by default.
    ///   - verifier: verifies tokens, for policies that use them.
    ///   - lookup: looks up clients, for policies with `redis_hash`; the store by default.
    ///   - clock: the clock for warm-up by time; the system's by default.
    ///   - previous: the limiter that this one replaces. Its counters and warm-ups continue.
    ///   - clientHasher: hashes clients for logs; the store's own hasher by default.
    /// - Throws: ``PolicyError`` when the policy needs a store or a verifier that was not given, or when a limit made
    ///   in code would let every request pass, or none.
    public convenience init(
        policy: Policy,
        store: (any Store)? = nil,
        verifier: (any TokenVerifier)? = nil,
        lookup: (any ClientDirectory)? = nil,
        clock: any TickClock = SystemClock(),
        replacing previous: RequestLimiter? = nil,
        clientHasher: KeyHasher? = nil
    ) throws(PolicyError) {
        try self.init(
            policy: policy, store: store, verifier: verifier, lookup: lookup, clock: clock, replacing: previous,
            clientHasher: clientHasher ?? previous?.givenClientHasher, ignoresCase: false, routes: RouteRegistry())
    }

    private init(
        policy: Policy, store: (any Store)?, verifier: (any TokenVerifier)?, lookup: (any ClientDirectory)?,
        clock: any TickClock, replacing previous: RequestLimiter?, clientHasher: KeyHasher?, ignoresCase: Bool,
        routes: RouteRegistry
    ) throws(PolicyError) {
        if case .shared(let url) = policy.store.kind, store == nil {
            throw PolicyError(
                "the policy names a store, \(url.prefix { $0 != ":" })://…, that was not passed to the limiter")
        }
        try policy.checkRules()
        if policy.usesTokens, verifier == nil {
            throw PolicyError("the policy uses tokens ('jwt'), but no token verifier was passed to the limiter")
        }
        let lookup = lookup ?? store?.clientDirectory ?? previous?.lookup
        if policy.usesLookups, lookup == nil {
            throw PolicyError("the policy looks clients up in Redis ('redis_hash'), but its store is not Redis")
        }
        let store = store ?? previous?.store ?? policy.makeMemoryStore(clock: clock)
        self.policy = policy
        self.store = store
        localStore = store.canFail ? previous?.localStore ?? MemoryStore(clock: clock) : store
        self.clock = clock
        let hasher = store.keyHasher
        self.hasher = hasher
        givenClientHasher = clientHasher
        self.clientHasher = clientHasher ?? hasher
        self.verifier = verifier
        self.lookup = lookup
        identifier = ClientIdentifier(policy, verifier: verifier, lookup: lookup)
        self.ignoresCase = ignoresCase
        self.routes = routes
        access = Matcher(policy.accessRules.map(\.match), ignoresCase: ignoresCase)
        // Exempt only requests that match beyond doubt.
        exempt = Matcher(policy.exemptions)
        limits = Matcher(policy.limits.map(\.match), ignoresCase: ignoresCase)
        headers = LimitHeaders(settings: policy.headers)
        let matches = policy.limits.map(\.match) + policy.accessRules.map(\.match) + policy.exemptions
        readsHost = matches.contains { !$0.hosts.isEmpty } || policy.limits.contains { $0.key.contains(.host) }
        let now = clock.timestamp
        var plans: [LimitPlan] = []
        for rule in policy.limits {
            let warmUp = routes.warmUp(of: rule, continuing: previous?.routes, startedAt: now)
            do {
                plans.append(
                    try LimitPlan(rule, fallbackTier: policy.tiers?.default, hasher: hasher, warmUp: warmUp))
            } catch {
                throw PolicyError(error.description)
            }
        }
        self.plans = plans
    }

    // MARK: The policy in force

    /// The limiter whose policy is in force: this one, or that of the last ``reload(_:)``.
    package var current: RequestLimiter { inForce.limiter ?? self }

    /// Changes whenever a different limiter comes into force.
    package var generation: Int { routes.generation }

    /// Puts a policy in force for all middlewares that were made of this limiter. Counters and warm-ups continue, and
    /// so do the limits that routes have in code. Requests under way keep the policy that they began with.
    ///
    /// - Parameters:
    ///   - policy: the new policy. It can't change the store.
    ///   - verifier: verifies tokens from now on; nil to keep the one before.
    /// - Throws: ``PolicyError`` when it can't be used; the policy before then stays in force.
    public func reload(_ policy: Policy, verifier: (any TokenVerifier)? = nil) throws(PolicyError) {
        while true {
            let old = current
            let new = try old.with(policy, verifier: verifier)
            for name in routes.attached where !new.limitNames.contains(name) {
                throw PolicyError("a route has the limit '\(name)', which the policy doesn't have")
            }
            for rule in routes.rules {
                if let clash = rule.windowNames.first(where: new.windowNames.contains) {
                    throw PolicyError("the limit '\(clash)' is a route's in code already; each needs a name of its own")
                }
                _ = try new.routeLimiter(rule)
            }
            // If another one came into force meanwhile, this one must follow it.
            if inForce.replace(old, by: new, of: self) { break }
        }
        routes.policyChanged()
        store.limitsDidChange()
    }

    /// The same limiter with a different policy.
    private func with(
        _ policy: Policy, verifier: (any TokenVerifier)? = nil, ignoresCase: Bool? = nil
    ) throws(PolicyError) -> RequestLimiter {
        try RequestLimiter(
            policy: policy, store: store, verifier: verifier ?? self.verifier, lookup: lookup, clock: clock,
            replacing: self, clientHasher: givenClientHasher, ignoresCase: ignoresCase ?? self.ignoresCase,
            routes: routes)
    }

    /// The same limiter with new keys, for a store whose key secret has changed.
    ///
    /// - Throws: ``PolicyError`` when the policy can't be prepared again.
    package func withNewKeys() throws(PolicyError) -> RequestLimiter { try with(policy) }

    /// Puts the same policy in force with new keys, for all middlewares.
    package func renewKeys() {
        // If a policy came into force meanwhile, it has the new keys.
        let old = current
        // This can't throw: the policy passed its checks before.
        guard let renewed = try? old.withNewKeys(), inForce.replace(old, by: renewed, of: self) else { return }
        routes.policyChanged()
    }

    /// The same limiter for a router that ignores the case of paths.
    package func ignoringCase() throws(PolicyError) -> RequestLimiter { try with(policy, ignoresCase: true) }

    // MARK: Limits in code

    /// A limiter of one rule, for a route with a limit of its own in code. It shares this limiter's store and the
    /// policy's settings, except for its limits, access rules and exemptions.
    ///
    /// - Throws: ``PolicyError`` when the rule can't be used.
    package func routeLimiter(_ rule: LimitRule) throws(PolicyError) -> RequestLimiter {
        var own = policy
        own.limits = [rule]
        own.accessRules = []
        own.exemptions = []
        try own.check()
        return try with(own, ignoresCase: false)
    }

    /// Adds a limit in code.
    ///
    /// - Throws: ``PolicyError`` when the rule can't be used, or a different limit has its name.
    package func addRouteLimit(_ rule: LimitRule) throws(PolicyError) {
        _ = try current.routeLimiter(rule)
        if let clash = routes.add(rule, besides: current.windowNames) {
            throw PolicyError("the limit '\(clash)' is there already; each needs a name of its own")
        }
    }

    /// A limit of the policy, as one to attach to a route: it applies to all of the route's requests.
    ///
    /// - Throws: ``PolicyError`` when the policy has no such limit.
    package func attachable(_ name: String) throws(PolicyError) -> LimitRule {
        guard var rule = policy.limits.first(where: { $0.name == name }) else {
            throw .unknownLimit(name, self)
        }
        rule.match = RequestMatch()
        return rule
    }

    /// Notes that a limit of the policy is attached to routes.
    package func attach(_ name: String) { routes.attach(name) }

    private var windowNames: Set<String> { Set(policy.limits.flatMap(\.windowNames)) }

    /// Notes a middleware that uses this limiter.
    package func noteMiddleware(_ middleware: ObjectIdentifier) { routes.addMiddleware(middleware) }

    /// Notes where a middleware was added.
    package func notePlacement(_ placement: MiddlewarePlacement) { routes.place(placement) }

    /// Records a fact about a route.
    ///
    /// - Parameters:
    ///   - isCollected: whether the route is in a collection, so that the beginning of its path isn't known.
    ///   - middleware: the middleware that the fact is about.
    package func note(
        _ route: AppRoute, _ fact: RouteFact, isCollected: Bool = false, of middleware: ObjectIdentifier?
    ) {
        routes.note(route, fact, isCollected: isCollected, of: middleware)
    }

    /// Finds the whole paths of routes in collections. Returns the routes of which more than one may be meant.
    package func resolveCollected(among routes: [AppRoute]) -> Set<AppRoute> {
        self.routes.resolveCollected(among: routes)
    }

    /// The routes that are known to pass a middleware of the whole policy.
    package var passingRoutes: Set<AppRoute> { routes.passing }

    /// Whether the routes of all middlewares are known.
    ///
    /// - Parameter others: middlewares of which the caller knows the routes.
    package func accountsForAll(besides others: Set<ObjectIdentifier>) -> Bool {
        routes.accountsForAll(besides: others)
    }

    /// Whether any route is free of all limits.
    package var hasFreeRoutes: Bool { routes.hasFreeRoutes }

    /// Whether a route is free of all limits.
    package func isFree(_ method: String, _ template: String?) -> Bool {
        guard let template else { return false }
        let freed = routes.freed
        func isFree(_ method: String) -> Bool { freed.contains(AppRoute(method, template)) }
        return isFree(method) || method == "HEAD" && isFree("GET")
    }

    /// Where some middlewares were added.
    package var placements: [MiddlewarePlacement] { routes.placements }

    /// The limits that routes have in code, with their routes.
    var rulesInCode: [(rule: LimitRule, routes: Set<AppRoute>)] {
        let attached = routes.attached.compactMap { try? current.attachable($0) }
        return (routes.rules + attached).map { ($0, routes.routes(behind: $0.name)) }
    }

    /// The routes that are free of all limits.
    var freeRoutes: Set<AppRoute> { routes.freed }

    /// Whether both belong to one policy. A route's own limiter belongs to the policy of the limiter it was made from.
    package func isRelated(to other: RequestLimiter) -> Bool { routes === other.routes }

    /// Whether middlewares of this policy may be nested: a route has a limit in code, or there are several
    /// middlewares.
    package var hasRouteLimits: Bool { routes.mayNest }

    /// Whether any rule looks at the path.
    package var hasPaths: Bool { access.hasPaths || exempt.hasPaths || limits.hasPaths }

    /// The warm-ups that end when the upstream answers 2xx at a path.
    package var readinessChecks: [(path: String, warmUp: WarmUp)] {
        plans.compactMap { plan in
            guard case .ready(let path)? = plan.rule.warmUp?.until.kind, let warmUp = plan.warmUp else { return nil }
            return (path, warmUp)
        }
    }

    /// The current time by the limiter's clock.
    package var now: Timestamp { clock.timestamp }

    /// Maintains a part of the stores' entries; see `Store.maintain(share:)`.
    package func maintain(share: Int) {
        store.maintain(share: share)
        if store.canFail { localStore.maintain(share: share) }
    }

    /// Whether keys match the store's present secret. Instances that share a store learn its secret when they first
    /// reach it.
    package var hasCurrentKeys: Bool { store.keyHasher == hasher }

    /// Ends the warm-ups that wait for a service to be ready. Call it in an app, which knows when it is ready.
    public func endWarmUp() {
        routes.endWarmUps()
    }

    /// The request headers that must not reach the upstream or a log.
    package var strippedHeaders: [String] {
        var names: [String] = []
        if let bypass = policy.bypass { names.append(bypass.header) }
        return names
    }

    /// The request headers that are accepted from trusted proxies only, and stripped from other requests.
    package var trustedHeaders: [String] {
        var names: [String] = []
        for case .header(let name, true, _) in policy.clientSources.map(\.kind) { names.append(name) }
        if case .header(let name)? = policy.tiers?.source?.kind { names.append(name) }
        return names
    }

    /// The request headers that the policy reads.
    package var readHeaders: [String] {
        var names = strippedHeaders + trustedHeaders
        for case .header(let name, _, _) in policy.clientSources.map(\.kind) { names.append(name) }
        let matches = policy.limits.map(\.match) + policy.accessRules.map(\.match) + policy.exemptions
        names += matches.flatMap { $0.headers.map(\.name) }
        for limit in policy.limits {
            for case .header(let name) in limit.key.map(\.kind) { names.append(name) }
            if case .header(let name)? = limit.cost.inRequest { names.append(name) }
        }
        return names
    }

    /// Whether a rule matches on the method. A header that overrides the method would then evade the rule.
    package var matchesMethods: Bool { limits.usesMethods || access.usesMethods || exempt.usesMethods }

    /// The limits that keep their name from the old limiter but not their state, because their algorithm, key or
    /// period has changed.
    package func limitsStartingAfresh(since old: RequestLimiter) -> [String] {
        plans.filter { plan in
            guard let before = old.plans.first(where: { $0.rule.name == plan.rule.name }) else { return false }
            return !plan.seeds.isSubset(of: before.seeds) && !before.seeds.isEmpty
        }.map(\.rule.name)
    }

    /// The limits whose name the old limiter doesn't have. A limit that was renamed is one of them.
    package func limitsAdded(since old: RequestLimiter) -> [String] {
        let before = Set(old.limitNames)
        return limitNames.filter { !before.contains($0) }
    }

    /// The number of instances that share the store: the policy's setting, or else the store's last known number.
    var instances: Int { policy.instances ?? store.instances }

    /// The names of the limits, in the policy's order.
    public var limitNames: [String] { policy.limits.map(\.name) }

    /// Whether a peer's address is one of the policy's trusted proxies.
    public func isTrusted(_ peer: IPAddress) -> Bool { identifier.addresses.isTrusted(peer) }
}

extension PolicyError {
    init(_ message: String) {
        self.init([PolicyDiagnostic(severity: .error, file: "policy", message: message)])
    }

    /// The error for a limit that an app names and the policy doesn't have.
    package static func unknownLimit(_ name: String, _ limiter: RequestLimiter) -> PolicyError {
        PolicyError(
            "there is no limit '\(name)' in the policy\(Suggestion.text(for: name, among: limiter.limitNames))")
    }

    /// The error for a limit that is checked in a request without a middleware.
    package static func noMiddleware(_ name: String) -> PolicyError {
        PolicyError("the limit '\(name)' can't be checked: no RateLimitMiddleware is in front of this route")
    }
}

extension Policy {
    /// A memory store of the size that the policy sets.
    package func makeMemoryStore(clock: any TickClock = SystemClock()) -> MemoryStore {
        if case .memory(let capacity?) = store.kind { return MemoryStore(capacity: capacity, clock: clock) }
        return MemoryStore(clock: clock)
    }
}
