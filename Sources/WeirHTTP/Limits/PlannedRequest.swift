import Weir

/// A request before its charges: it finds the client, the matching rules, each limit's cost and the key that pays it.
struct PlannedRequest {
    /// The next step.
    enum Step {
        /// A client is being looked up; ``resume(lookup:_:on:enclosing:into:)`` continues with the answer.
        case needsLookup(ClientIdentifier.Pending)
        /// A cost is in the body; ``resume(body:on:into:)`` continues with it.
        case needsBody(atMost: Int)
        /// No limit applies.
        case passes
        /// Weir answers; nothing is charged. Indirect, so that every step is small.
        indirect case answered(ProblemDetails)
        /// Every charge is ready for the store.
        case ready
    }

    /// A lookup that is waited for, and what to go on with afterwards. A class, because hardly any request has one.
    private final class Pause {
        let place: ClientIdentifier.Lookup.Place
        let route: MatchedRoute?
        let tier: String?

        init(at place: ClientIdentifier.Lookup.Place, route: MatchedRoute?, tier: String?) {
            self.place = place
            self.route = route
            self.tier = tier
        }
    }

    /// A limit's cost for this request.
    struct Cost {
        var units: Int64
        /// Whether the units are held until the response has said the cost.
        var isHold = false
        /// Whether the units are the most that the request may cost, because the reserve couldn't be read.
        var isUnreadable = false
        /// The most that the response may cost; nil if nothing bounds it.
        var most: Int64?
        /// Whether the request costs more than the limit allows, if the limit matches its body at all.
        var isTooCostly = false
    }

    private(set) var identity: Identity?
    /// The path that was matched, which is the path to forward; nil when the request was rejected for it.
    private(set) var path: RequestPath?
    /// The origin of the requesting page, if it is cross-origin and Weir itself says who may read its answers.
    private(set) var origin: String?
    /// Whether the request carries the bypass secret.
    private(set) var isBypassed = false
    /// Whether it passed without a limit, because it is exempt or carries the bypass secret.
    private(set) var passedUnlimited = false
    /// Whether the app frees the route of all limits.
    var isFree = false
    private(set) var costOverride: Int64?
    /// The limits that apply, each with its cost.
    private var matched: [MatchedRule] = []
    private var costs: [Cost] = []
    private var keys = KeyMaker()
    /// The keys that wait for the body.
    private var bodyKeys: [BodyKey] = []
    /// The limits whose cost stands in the request and couldn't be read.
    private(set) var unreadable: [Int] = []
    /// Whether that is because the body is compressed or too long.
    private(set) var bodyIsUnreadable = false
    private var pause: Pause?

    /// Forgets the request.
    @inline(__always)
    mutating func clear() {
        identity = nil
        path = nil
        origin = nil
        isBypassed = false
        passedUnlimited = false
        isFree = false
        if pause != nil { pause = nil }
        // They are mostly empty already, since the request before was cleared.
        if !matched.isEmpty { matched.removeAll(keepingCapacity: true) }
        if !costs.isEmpty { costs.removeAll(keepingCapacity: true) }
        if !bodyKeys.isEmpty { bodyKeys.removeAll() }
        if !unreadable.isEmpty { unreadable.removeAll() }
        bodyIsUnreadable = false
    }

    /// Forgets the costs that couldn't be read, once they are reported.
    mutating func forgetUnreadable() { if !unreadable.isEmpty { unreadable.removeAll() } }

    // MARK: identify

    /// Begins. The parameters are those of ``LimitedRequest/begin(_:on:peer:client:route:tier:cost:)``.
    // Inlined like a few others below: passing so much to them costs as much as their work.
    @inline(__always)
    mutating func begin(
        _ request: some LimitableRequest, on limiter: RequestLimiter, peer: IPAddress, client: AppClient?,
        route: MatchedRoute?, tier: String?, cost: Int64?, enclosing: LimitedRequest?,
        into charged: inout ChargedRequest
    ) -> Step {
        costOverride = cost
        do {
            // An app's router has accepted the path already; the policy may still be stricter.
            let isLenient = limiter.policy.allowsLenientPaths ?? (route != nil)
            path = try RequestPath(request.target, lenient: isLenient, isRouted: isLenient && route != nil)
        } catch {
            return .answered(
                ProblemDetails(status: 400, title: "Bad Request", detail: error.message))
        }
        var lookup: ClientIdentifier.Lookup?
        let identity = limiter.identifier.identify(request, peer: peer, client: client, tier: tier, pending: &lookup)
        if let lookup { return wait(for: lookup, identity, route: route, tier: tier) }
        return match(request, identity, route: route, on: limiter, enclosing: enclosing, into: &charged)
    }

    /// This request, as one in which limits are checked by their name.
    var asker: CheckAsker { CheckAsker(identity: identity, path: path, origin: origin, isBypassed: isBypassed) }

    /// Begins a check of one limit, with a key of the app's choice.
    mutating func beginCheck(
        rule: Int, key: String, cost: Int64, for asker: CheckAsker, on limiter: RequestLimiter,
        into charged: inout ChargedRequest
    ) -> Step {
        identity = asker.identity
        path = asker.path
        origin = asker.origin
        costOverride = min(max(1, cost), Rate.maximumCount)
        guard !asker.isBypassed, let costOverride, limiter.plans.indices.contains(rule) else { return .passes }
        let plan = limiter.plans[rule]
        let isWarm = plan.warmUp?.isWarm(at: limiter.clock.timestamp) ?? true
        var dimensions: [UInt64] = []
        limiter.hasher.append(key, seed: 0, to: &dimensions)
        for window in plan.windows(for: identity?.tier) {
            charged.add(
                plan, window: window, rule: rule, isWarm: isWarm,
                key: limiter.hasher.key(dimensions, seed: window.seed))
        }
        matched.append(MatchedRule(rule: rule, pattern: 0))
        costs.append(Cost(units: costOverride))
        return price(charges: &charged)
    }

    private mutating func wait(
        for lookup: ClientIdentifier.Lookup, _ identity: Identity, route: MatchedRoute?, tier: String?
    ) -> Step {
        self.identity = identity
        pause = Pause(at: lookup.place, route: route, tier: tier)
        return .needsLookup(lookup.answer)
    }

    /// Continues with a client that was looked up.
    mutating func resume(
        lookup answer: LookupAnswer, _ request: some LimitableRequest, on limiter: RequestLimiter,
        enclosing: LimitedRequest?, into charged: inout ChargedRequest
    ) -> Step {
        guard let pause, var identity else { return .passes }
        self.pause = nil
        var next: ClientIdentifier.Lookup?
        limiter.identifier.resume(&identity, from: pause.place, with: answer, request, tier: pause.tier, pending: &next)
        if let next { return wait(for: next, identity, route: pause.route, tier: pause.tier) }
        return match(request, identity, route: pause.route, on: limiter, enclosing: enclosing, into: &charged)
    }

    // MARK: match

    private mutating func match(
        _ request: some LimitableRequest, _ identity: consuming Identity, route: MatchedRoute?,
        on limiter: RequestLimiter, enclosing: LimitedRequest?, into charged: inout ChargedRequest
    ) -> Step {
        let host = limiter.readsHost ? (path?.authority ?? request.host).map(RequestFacts.hostName) : nil
        let facts = RequestFacts(
            sentMethod: request.method, path: path?.path ?? "", otherReadings: path?.otherReadings ?? [], host: host,
            tier: identity.tier,
            address: identity.address, route: route)
        self.identity = consume identity
        let origin = request.onlyValue(of: "Origin")
        // Which pages may read an app's answers is the app's affair, unless the policy says it.
        if route == nil || limiter.policy.crossOrigin != nil { self.origin = origin }
        let isPreflight = origin != nil && request.method == "OPTIONS" && request.has("Access-Control-Request-Method")
        if let forbidden = checkAccess(request, facts, isPreflight: isPreflight, on: limiter) {
            return .answered(forbidden)
        }
        isBypassed = bypasses(request, on: limiter) || enclosing?.isBypassed == true
        if isPreflight || isFree || isExempt(request, facts, on: limiter) || isBypassed {
            passedUnlimited = true
            return .passes
        }
        limiter.limits.find(request, facts, into: &matched)
        if let enclosing { matched.removeAll { enclosing.hasDecided(limiter.plans[$0.rule].rule.name) } }
        if matched.isEmpty { return .passes }
        return findCosts(request, facts, on: limiter, into: &charged)
    }

    private mutating func checkAccess(
        _ request: some LimitableRequest, _ facts: RequestFacts, isPreflight: Bool, on limiter: RequestLimiter
    ) -> ProblemDetails? {
        guard !limiter.access.isEmpty else { return nil }
        limiter.access.find(request, facts, into: &matched)
        for match in matched {
            let tiers = limiter.policy.accessRules[match.rule].tiers
            // A preflight carries no credentials, so its tier can't be known.
            if tiers != nil, isPreflight { continue }
            if let tiers, let tier = facts.tier, tiers.contains(tier) { continue }
            return ProblemDetails(status: 403, title: "Forbidden", detail: "Access to this resource is not allowed.")
        }
        return nil
    }

    private mutating func isExempt(
        _ request: some LimitableRequest, _ facts: RequestFacts, on limiter: RequestLimiter
    ) -> Bool {
        guard !limiter.exempt.isEmpty else { return false }
        // Every reading of the path must be exempt, because the reading that the handler uses isn't known here.
        var facts = facts
        let others = facts.otherReadings + (facts.routedPath == facts.path ? [] : [facts.routedPath])
        facts.route = nil
        facts.otherReadings = []
        limiter.exempt.find(request, facts, into: &matched)
        for reading in others where !matched.isEmpty {
            facts.path = reading
            limiter.exempt.find(request, facts, into: &matched)
        }
        return !matched.isEmpty
    }

    private func bypasses(_ request: some LimitableRequest, on limiter: RequestLimiter) -> Bool {
        guard let bypass = limiter.policy.bypass, let value = request.onlyValue(of: bypass.header) else { return false }
        return isEqualInConstantTime(value, bypass.secret)
    }

    // MARK: cost

    private mutating func findCosts(
        _ request: some LimitableRequest, _ facts: RequestFacts, on limiter: RequestLimiter,
        into charged: inout ChargedRequest
    ) -> Step {
        var needsBody = false
        for match in matched {
            let plan = limiter.plans[match.rule]
            if plan.hasKeyInBody || plan.hasMatchInBody { needsBody = true }
            if plan.hasCostInBody, costOverride == nil {
                needsBody = true
                costs.append(Cost(units: 0))
                continue
            }
            let reading =
                plan.rule.cost.inRequest.map {
                    CostReading.read($0, request, query: path?.query, body: .none)
                } ?? .absent
            if reading == .unreadable, costOverride == nil { unreadable.append(match.rule) }
            if let cost = cost(of: plan, reading) {
                costs.append(cost)
            } else if plan.hasMatchInBody {
                costs.append(Cost(units: 0, isTooCostly: true))
            } else {
                return .answered(Self.tooCostly)
            }
        }
        makeCharges(request, facts, on: limiter, into: &charged)
        if needsBody {
            if request.isCompressed { return resume(body: .unreadable, on: limiter, into: &charged) }
            _ = price(charges: &charged)
            return .needsBody(atMost: limiter.policy.maximumBodySize)
        }
        return price(charges: &charged)
    }

    /// Continues with a request of which a cost, a key or a match is in its body.
    mutating func resume(
        body: ReceivedBody, on limiter: RequestLimiter, into charged: inout ChargedRequest
    ) -> Step {
        if case .unreadable = body.kind { bodyIsUnreadable = true }
        for (index, match) in matched.enumerated() {
            let plan = limiter.plans[match.rule]
            guard plan.rule.match.json.allSatisfy({ BodyValue($0.pointer, in: body).fits($0.values) }) else {
                charged.remove(rule: match.rule)
                continue
            }
            if costs[index].isTooCostly { return .answered(Self.tooCostly) }
            guard plan.hasCostInBody, let source = plan.rule.cost.inRequest else { continue }
            let reading = CostReading.read(source, in: body)
            if reading == .unreadable, costOverride == nil { unreadable.append(match.rule) }
            guard let cost = cost(of: plan, reading) else { return .answered(Self.tooCostly) }
            costs[index] = cost
        }
        for key in bodyKeys {
            charged.setKey(key.dimensions(with: body, limiter.hasher), of: key.rule, limiter.hasher)
        }
        return price(charges: &charged)
    }

    /// Returns a request's cost for one limit; nil when it exceeds the policy's `max`.
    private func cost(of plan: LimitPlan, _ reading: CostReading) -> Cost? {
        if let costOverride { return Cost(units: costOverride) }
        let most = plan.rule.cost.most == nil ? nil : plan.mostCost(for: identity?.tier)
        switch plan.rule.cost.kind {
        case .fixed(let units): return Cost(units: units)
        case .response(_, let reserve, _, _, _):
            let bound = most ?? Rate.maximumCount
            var cost = Cost(units: bound, isHold: true, most: most)
            switch (reserve, reading) {
            case (.units(let units), _), (.request(_, let units), .absent), (.request, .units(let units)):
                cost.units = min(units, bound)
            case (.request, .unreadable): cost.isUnreadable = most == nil
            }
            return cost
        case .request(_, let fallback, _):
            let units: Int64
            switch reading {
            case .absent: units = fallback
            case .unreadable:
                let windows = plan.windows(for: identity?.tier)
                units = most ?? windows.map(\.limit.numbers.capacity).min() ?? fallback
            case .units(let found): units = max(1, found)
            }
            if units > most ?? Rate.maximumCount { return nil }
            return Cost(units: units)
        }
    }

    private static let tooCostly = ProblemDetails(
        status: 413, title: "Content Too Large",
        detail: "The request costs more than the policy allows for one request.")

    // MARK: charge

    /// Makes one charge for each window of each limit that applies. ``price(charges:)`` fills in the costs.
    private mutating func makeCharges(
        _ request: some LimitableRequest, _ facts: RequestFacts, on limiter: RequestLimiter,
        into charged: inout ChargedRequest
    ) {
        guard let identity else { return }
        for match in matched {
            let plan = limiter.plans[match.rule]
            let windows = plan.windows(for: identity.tier)
            if windows.isEmpty { continue }
            let isWarm = plan.warmUp?.isWarm(at: limiter.clock.timestamp) ?? true
            keys.read(request, facts, identity, of: plan, match: match, on: limiter)
            for window in windows {
                charged.add(
                    plan, window: window, rule: match.rule, isWarm: isWarm,
                    key: limiter.hasher.key(keys.dimensions, seed: window.seed))
            }
            if plan.hasKeyInBody {
                bodyKeys.append(BodyKey(rule: match.rule, dimensions: keys.dimensions, inBody: keys.inBody))
            }
        }
    }

    /// Writes the costs into the charges.
    @inline(__always)
    private func price(charges charged: inout ChargedRequest) -> Step {
        if charged.isEmpty { return .passes }
        var index = 0
        for (place, match) in matched.enumerated() {
            charged.price(rule: match.rule, from: &index, costs[place])
        }
        return .ready
    }
}

/// What a check of a limit by its name takes from the request in which it is made.
package struct CheckAsker: Sendable {
    let identity: Identity?
    let path: RequestPath?
    let origin: String?
    let isBypassed: Bool
}

extension CostRule {
    /// Where in the request the cost, or the reserve, is; nil when it isn't there.
    var inRequest: RequestCost.Kind? {
        switch kind {
        case .request(let cost, _, _), .response(_, .request(let cost, _), _, _, _): cost
        case .fixed, .response: nil
        }
    }
}

extension RequestFacts {
    /// The host in lower case, without a port or a dot at its end.
    fileprivate static func hostName(_ text: String) -> String {
        var name = text[...]
        if let colon = name.lastIndex(of: ":"), !name.hasSuffix("]") { name = name[..<colon] }
        if name.hasSuffix(".") { name = name.dropLast() }
        return name.utf8.contains { (65...90).contains($0) } ? name.lowercased() : String(name)
    }
}

extension LimitableRequest {
    /// Whether the body has a content coding, so that a cost can't be read from it.
    fileprivate var isCompressed: Bool {
        var isCompressed = false
        forEachValue(of: "Content-Encoding") { if $0.lowercased() != "identity" { isCompressed = true } }
        return isCompressed
    }
}

/// Compares two strings in a time that does not depend on where they differ.
private func isEqualInConstantTime(_ left: String, _ right: String) -> Bool {
    let left = Array(left.utf8)
    let right = Array(right.utf8)
    var difference = left.count ^ right.count
    for index in right.indices {
        difference |= Int((index < left.count ? left[index] : 0) ^ right[index])
    }
    return difference == 0
}
