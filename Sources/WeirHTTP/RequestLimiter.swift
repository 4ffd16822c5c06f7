import Synchronization
public import Weir

/// A policy made ready to decide requests: the one way that the gateway, the middleware and the decision service take.
///
/// It holds no request's state; ``LimitedRequest`` does, and takes a request through it:
/// identify → match → cost → decide → headers.
public final class RequestLimiter: Sendable {
    public let policy: Policy
    public let store: any Store
    /// Where `on_store_failure: local` counts while the store fails; `store` itself when that can't fail.
    let localStore: any Store
    let identifier: ClientIdentifier
    let access: Matcher
    let exempt: Matcher
    let limits: Matcher
    let plans: [LimitPlan]
    let headers: LimitHeaders
    let clock: any TickClock
    /// As the store made keys when this limiter was made.
    let hasher: KeyHasher
    /// Names clients in logs.
    let clientHasher: KeyHasher
    private let givenClientHasher: KeyHasher?
    private let verifier: (any TokenVerifier)?
    private let lookup: (any TierLookup)?
    /// Whether paths are compared without regard to case, as an app's router may do.
    let ignoresCase: Bool
    /// Whether any rule or key looks at the host.
    let readsHost: Bool
    private let routes: RouteRegistry

    /// - Parameters:
    ///   - policy: what to enforce.
    ///   - store: where to count; memory unless given.
    ///   - verifier: for policies that use tokens.
    ///   - lookup: for policies that look clients up (`redis_hash`); the store unless given.
    ///   - clock: for warm-up by time; the system's unless given.
    ///   - previous: the limiter that this one replaces, whose counters and warm-up go on.
    ///   - clientHasher: names clients in logs; the store's own hasher unless given.
    /// - Throws: ``PolicyError`` when the policy needs a store or a verifier that was not given, or a limit made in code would
    ///   let everybody pass, or nobody.
    public convenience init(
        policy: Policy,
        store: (any Store)? = nil,
        verifier: (any TokenVerifier)? = nil,
        lookup: (any TierLookup)? = nil,
        clock: any TickClock = SystemClock(),
        replacing previous: RequestLimiter? = nil,
        clientHasher: KeyHasher? = nil
    ) throws(PolicyError) {
        try self.init(
            policy: policy, store: store, verifier: verifier, lookup: lookup, clock: clock, replacing: previous,
            clientHasher: clientHasher ?? previous?.givenClientHasher, ignoresCase: false, routes: RouteRegistry())
    }

    private init(
        policy: Policy, store: (any Store)?, verifier: (any TokenVerifier)?, lookup: (any TierLookup)?,
        clock: any TickClock, replacing previous: RequestLimiter?, clientHasher: KeyHasher?, ignoresCase: Bool,
        routes: RouteRegistry
    ) throws(PolicyError) {
        if case .shared(let url) = policy.server.store, store == nil {
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
        access = Matcher(policy.access.map(\.match), ignoresCase: ignoresCase)
        // What is exempt must be so beyond doubt.
        exempt = Matcher(policy.exempt)
        limits = Matcher(policy.limits.map(\.match), ignoresCase: ignoresCase)
        headers = LimitHeaders(settings: policy.headers)
        let matches = policy.limits.map(\.match) + policy.access.map(\.match) + policy.exempt
        readsHost = matches.contains { !$0.hosts.isEmpty } || policy.limits.contains { $0.key.contains(.host) }
        let now = clock.now()
        var plans: [LimitPlan] = []
        for rule in policy.limits {
            let warmUp = previous?.warmUp(of: rule) ?? rule.warmUp.map { WarmUp($0.until, startedAt: now) }
            do {
                plans.append(
                    try LimitPlan(rule, fallbackTier: policy.tiers?.fallback, hasher: hasher, warmUp: warmUp))
            } catch {
                throw PolicyError(error.description)
            }
        }
        self.plans = plans
    }

    /// The same limiter with keys made anew, for a store whose keys' secret has become another.
    public func withNewKeys() throws(PolicyError) -> RequestLimiter {
        try RequestLimiter(
            policy: policy, store: store, verifier: verifier, lookup: lookup, clock: clock, replacing: self,
            clientHasher: givenClientHasher, ignoresCase: ignoresCase, routes: routes)
    }

    /// The same limiter for a router that doesn't regard the case of paths.
    package func ignoringCase() throws(PolicyError) -> RequestLimiter {
        try RequestLimiter(
            policy: policy, store: store, verifier: verifier, lookup: lookup, clock: clock, replacing: self,
            clientHasher: givenClientHasher, ignoresCase: true, routes: routes)
    }

    /// A limiter of one rule beside this one's: for a route that has a limit of its own in code. It shares the store, and
    /// all that the policy says but for its limits, access and exemptions.
    ///
    /// - Throws: ``PolicyError`` when the name is taken.
    package func routeLimiter(_ rule: LimitRule) throws(PolicyError) -> RequestLimiter {
        var own = policy
        own.limits = [rule]
        own.access = []
        own.exempt = []
        try own.check()
        let limiter = try RequestLimiter(
            policy: own, store: store, verifier: verifier, lookup: lookup, clock: clock, replacing: self,
            clientHasher: givenClientHasher, ignoresCase: false, routes: routes)
        let clash = routes.add(
            rule, readinessChecks: limiter.ownReadinessChecks, besides: Set(policy.limits.flatMap(\.windowNames)))
        if let clash { throw PolicyError("the limit '\(clash)' is there already; each needs a name of its own") }
        return limiter
    }

    /// Counts a middleware that decides by this limiter.
    package func noteMiddleware() { routes.addMiddleware() }

    /// Remembers that a route has this limiter's limits of its own, for ``verify(_:)``.
    package func noteLimitedInCode(_ route: AppRoute) {
        for rule in policy.limits { routes.note(route, behind: rule) }
    }

    /// The rules that routes have in code, with the routes.
    var rulesInCode: [(rule: LimitRule, routes: Set<AppRoute>)] { routes.rules }

    /// Whether both are of one policy: one may be of a route's own limit beside the other.
    package func isRelated(to other: RequestLimiter) -> Bool { routes === other.routes }

    /// Whether routes have limits of their own in code, or another middleware of this policy may be around one.
    package var hasRouteLimits: Bool { routes.mayNest }

    /// Whether any rule looks at the path.
    package var hasPaths: Bool { access.hasPaths || exempt.hasPaths || limits.hasPaths }

    /// The warm-up of a rule that is the same as before.
    private func warmUp(of rule: LimitRule) -> WarmUp? {
        guard let warmUp = rule.warmUp else { return nil }
        return plans.first { $0.rule.name == rule.name && $0.rule.warmUp?.until == warmUp.until }?.warmUp
    }

    /// The warm-ups that end when the upstream answers 2xx at a path, those of limits that routes have in code too.
    public var readinessChecks: [(path: String, warmUp: WarmUp)] {
        ownReadinessChecks + routes.readinessChecks
    }

    private var ownReadinessChecks: [(path: String, warmUp: WarmUp)] {
        plans.compactMap { plan in
            guard case .ready(let path)? = plan.rule.warmUp?.until, let warmUp = plan.warmUp else { return nil }
            return (path, warmUp)
        }
    }

    /// The time by the limiter's clock.
    package var now: Timestamp { clock.now() }

    /// Looks after a part of what the stores hold; see `Store.maintain(share:)`.
    package func maintain(share: Int) {
        store.maintain(share: share)
        if store.canFail { localStore.maintain(share: share) }
    }

    /// Waits by the limiter's clock.
    package func wait(_ ticks: Timestamp) async throws { try await clock.wait(ticks) }

    /// Whether keys are made as the store makes them now: instances that share a store learn its secret when they reach it.
    package var hasCurrentKeys: Bool { store.keyHasher == hasher }

    /// Ends the warm-ups that wait for a service to be ready: inside an app, the app knows when it is.
    public func endWarmUp() {
        for check in readinessChecks { check.warmUp.finish() }
    }

    /// Which request headers must not reach the upstream or a log.
    public var strippedHeaders: [String] {
        var names: [String] = []
        if let bypass = policy.bypass { names.append(bypass.header) }
        return names
    }

    /// Which request headers are believed only when a trusted proxy sends them, and stripped from others.
    public var trustedHeaders: [String] {
        var names: [String] = []
        for case .header(let name, true, _) in policy.client { names.append(name) }
        if case .header(let name)? = policy.tiers?.source { names.append(name) }
        return names
    }

    /// Which request headers the policy reads.
    public var readHeaders: [String] {
        var names = strippedHeaders + trustedHeaders
        for case .header(let name, _, _) in policy.client { names.append(name) }
        let matches = policy.limits.map(\.match) + policy.access.map(\.match) + policy.exempt
        names += matches.flatMap { $0.headers.map(\.name) }
        for limit in policy.limits {
            for case .header(let name) in limit.key { names.append(name) }
            if case .request(.header(let name), _, _) = limit.cost { names.append(name) }
        }
        return names
    }

    /// Whether a rule looks at the method, so that a header that overrides it would get past.
    public var matchesMethods: Bool { limits.usesMethods || access.usesMethods || exempt.usesMethods }

    /// The limits that were there before under the same name, but whose state is not theirs any more, because their
    /// algorithm, key or period has changed.
    public func limitsStartingAfresh(since old: RequestLimiter) -> [String] {
        plans.filter { plan in
            guard let before = old.plans.first(where: { $0.rule.name == plan.rule.name }) else { return false }
            return !plan.seeds.isSubset(of: before.seeds) && !before.seeds.isEmpty
        }.map(\.rule.name)
    }

    /// How many instances share the store: as the policy says, else as the store last knew.
    var instances: Int { policy.server.instances ?? store.instances }

    /// The names of the limits, in the policy's order.
    public var limitNames: [String] { policy.limits.map(\.name) }

    public func isTrusted(_ peer: IPAddress) -> Bool { identifier.addresses.isTrusted(peer) }
}

extension PolicyError {
    init(_ message: String) {
        self.init([Diagnostic(severity: .error, file: "policy", message: message)])
    }
}

extension Policy {
    /// A memory store as large as the policy says.
    package func makeMemoryStore(clock: any TickClock = SystemClock()) -> MemoryStore {
        if case .memory(let capacity?) = server.store { return MemoryStore(capacity: capacity, clock: clock) }
        return MemoryStore(clock: clock)
    }
}
