import Weir

/// Warns of valid rules that are probably mistakes: rules that can never match or deny, and keys that clients can
/// choose freely.
struct PolicyLint {
    let policy: Policy
    let places: PolicyPlaces
    let document: PolicyDocument

    func run() {
        for (index, limit) in policy.limits.enumerated() {
            checkMatch(limit.match, at: places.matches[index] ?? places.limits[index])
            checkTiers(limit, at: places.limits[index])
            checkKey(limit, at: places.limitKeys[index] ?? places.limits[index])
            checkExempted(limit, at: places.limits[index])
            checkSize(limit, at: places.limits[index])
            checkResponseCost(limit, at: places.limits[index])
        }
        for (index, rule) in policy.accessRules.enumerated() {
            checkMatch(rule.match, at: places.access[index])
            if let tiers = rule.tiers { checkNames(tiers, at: places.access[index]) }
            for earlier in policy.accessRules[..<index] where earlier.tiers == nil && earlier.match.covers(rule.match) {
                document.warning(
                    "this access rule has no effect: an earlier one denies everything it matches",
                    at: places.access[index])
                break
            }
        }
        for (index, match) in policy.exemptions.enumerated() { checkMatch(match, at: places.exempt[index]) }
        checkClient()
        checkProxies()
        checkDirectory()
        checkServer()
    }

    /// Warns of clients whose tier gets them no rate of their own, in the file that names them.
    private func checkDirectory() {
        guard let tiers = policy.tiers, case .file(let directory)? = tiers.source?.kind else { return }
        var rated: Set<String> = []
        for limit in policy.limits { if case .perTier(let each) = limit.allowance.kind { rated.formUnion(each.keys) } }
        let other = policy.accessRules.flatMap { $0.tiers ?? [] } + policy.limits.flatMap(\.match.tiers)
        for (tier, line) in directory.tierLines.sorted(by: { $0.value < $1.value })
        where !rated.isEmpty && !rated.contains(tier) && !other.contains(tier) {
            document.warning(
                "no limit has a rate for the tier '\(tier)', so its clients get that of '\(tiers.default)'\(Suggestion.text(for: tier, among: rated.sorted()))",
                file: directory.file, line: line)
        }
        if let line = directory.tierlessLine, !directory.tierLines.isEmpty {
            document.warning(
                "this client has no tier, so it gets '\(tiers.default)'", file: directory.file, line: line)
        }
        let having = Set(directory.tierLines.keys).union([tiers.default])
        for (index, limit) in policy.limits.enumerated() {
            guard case .perTier(let each) = limit.allowance.kind else { continue }
            for tier in each.keys.sorted() where !having.contains(tier) {
                document.warning(
                    "nobody has the tier '\(tier)' of the limit '\(limit.name)'\(Suggestion.text(for: tier, among: having.sorted()))",
                    at: places.limits[index])
            }
        }
    }

    private func checkServer() {
        let server = policy.gateway
        guard let admin = server.admin.flatMap({ SocketText($0) }), let place = places.admin else { return }
        if ["0.0.0.0", "::", "*"].contains(admin.host) {
            document.warning(
                "the admin port is open to everybody who reaches this machine; bind it to 127.0.0.1, or to an address of a private network",
                at: place)
        }
    }

    /// All names of tiers that the policy mentions.
    private var tierNames: Set<String> {
        var names: Set<String> = []
        if let tiers = policy.tiers { names.insert(tiers.default) }
        if case .file(let directory)? = policy.tiers?.source?.kind {
            names.formUnion(directory.clients.values.compactMap { $0 })
        }
        for limit in policy.limits { if case .perTier(let each) = limit.allowance.kind { names.formUnion(each.keys) } }
        return names
    }

    private func checkMatch(_ match: RequestMatch, at mark: Place?) {
        let methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY", "CONNECT"]
        for method in match.methods where !methods.contains(method) {
            document.warning(
                "'\(method)' is not a common HTTP method\(Suggestion.text(for: method, among: methods))", at: mark)
        }
        if match.methods == ["HEAD"] {
            document.warning("HEAD counts as GET, so a rule for HEAD alone never applies; write GET", at: mark)
        }
        checkNames(match.tiers, at: mark)
        let prefixes = match.paths.filter(\.isPrefix).prefix(100)
        for path in match.paths where !path.isPrefix {
            let shadow = prefixes.first { $0.covers(path) }
            if let shadow { document.warning("the path '\(path)' is already covered by '\(shadow)'", at: mark) }
        }
    }

    private func checkNames(_ tiers: [String], at mark: Place?) {
        guard !tiers.isEmpty else { return }
        guard policy.tiers != nil else {
            document.warning("this rule needs a tier, but the policy has no 'tiers', so no client has one", at: mark)
            return
        }
        // A header or a token can name any tier.
        switch policy.tiers?.source?.kind {
        case .header, .jwt: return
        case .file, .hash, nil: break
        }
        for tier in tiers where !tierNames.contains(tier) {
            document.warning(
                "nobody has the tier '\(tier)'\(Suggestion.text(for: tier, among: tierNames.sorted()))", at: mark)
        }
    }

    private func checkTiers(_ limit: LimitRule, at mark: Place?) {
        guard case .perTier(let each) = limit.allowance.kind, !limit.match.tiers.isEmpty else { return }
        for tier in each.keys.sorted() where !limit.match.tiers.contains(tier) && tier != policy.tiers?.default {
            document.warning(
                "the limit '\(limit.name)' has a rate for '\(tier)', but its match excludes that tier", at: mark)
        }
    }

    private func checkKey(_ limit: LimitRule, at mark: Place?) {
        if limit.key.contains(.path) {
            document.warning(
                "the key 'path' gives every path its own budget, so a client can get as many as it likes; use 'route', which is the matched pattern",
                at: mark)
        }
        if limit.key.contains(.route), limit.match.paths.isEmpty {
            document.warning(
                "the key 'route' needs paths in 'match'; without them, all requests share one route", at: mark)
        }
        guard !limit.isShadow, let free = limit.key.first(where: { isFree($0, in: limit) }), !isBounded(limit) else {
            return
        }
        guard free != .path else { return }
        document.warning(
            "a client freely chooses the '\(free.text)' in the key, so every new value buys a fresh budget; add a limit for the same requests with a key that it can't choose, such as 'key: [address]'",
            at: mark)
    }

    /// Whether a client can choose a value of the key. It can't choose one that the limit matches.
    private func isFree(_ dimension: KeyDimension, in limit: LimitRule) -> Bool {
        if case .json(let pointer, _, _) = dimension.kind {
            let isMatched = limit.match.json.contains { condition in
                condition.pointer == pointer && !condition.values.contains { $0.hasSuffix("*") }
            }
            if isMatched { return false }
        }
        return dimension.isFreelyChosen
    }

    /// Warns of a cost from the response by which many requests at once could pass, or of one that failures evade.
    private func checkResponseCost(_ limit: LimitRule, at mark: Place?) {
        guard case .response(let source, let reserve, _, _, _) = limit.cost.kind, !limit.isShadow else { return }
        func isCovered(_ holds: (LimitRule) -> Bool) -> Bool {
            policy.limits.contains {
                $0.name != limit.name && !$0.isShadow && holds($0) && $0.match.covers(limit.match)
            }
        }
        if !reserve.holdsUnits, !isCovered({ $0.algorithm == .concurrency }) {
            document.warning(
                "without a 'reserve', any number of requests at once pass while a unit is left; add 'reserve', or a concurrency limit for the same requests",
                at: mark)
        }
        if case .status = source { return }
        if !isCovered({ $0.boundsRate && $0.cost.countsRequests }) {
            document.warning(
                "nothing limits the number of these requests, and a response that fails costs nothing; add a limit on requests, such as 'rate: 60/minute'",
                at: mark)
        }
    }

    /// Whether a different enforced limit, whose key clients can't choose, applies to all requests of this one.
    private func isBounded(_ limit: LimitRule) -> Bool {
        policy.limits.contains { other in
            !other.isShadow && other.boundsRate && !other.key.contains(where: \.isFreelyChosen)
                && other.match.covers(limit.match)
        }
    }

    private func checkExempted(_ limit: LimitRule, at mark: Place?) {
        if policy.exemptions.contains(where: { $0.covers(limit.match) }) {
            document.warning("the limit '\(limit.name)' never applies: everything it matches is exempt", at: mark)
        }
        for rule in policy.accessRules where rule.tiers == nil && rule.match.covers(limit.match) {
            document.warning(
                "the limit '\(limit.name)' never applies: an access rule denies everything it matches", at: mark)
        }
        let isUnlimited = limit.allowance.values.allSatisfy { if case .unlimited = $0.kind { true } else { false } }
        if isUnlimited {
            document.warning("the limit '\(limit.name)' is unlimited for every client, so it does nothing", at: mark)
        }
    }

    private func checkSize(_ limit: LimitRule, at mark: Place?) {
        guard limit.algorithm == .slidingLog, let capacity = limit.smallestCapacity, capacity > 100_000 else { return }
        document.warning(
            "'sliding-log' keeps 16 bytes for each request in its period, here up to \(capacity) requests per key; 'sliding-window' keeps 16 bytes per key",
            at: mark)
    }

    /// Warns of client sources that anyone can forge or that are never used. With a header that takes any value, a
    /// client could get a fresh budget for every request.
    private func checkClient() {
        for (index, source) in policy.clientSources.enumerated() {
            switch source.kind {
            case .header(let name, false, nil):
                let unprotected = policy.limits.contains {
                    $0.key.contains(.client) && !$0.isShadow && !hasAddressLimit(for: $0)
                }
                if unprotected || policy.limits.isEmpty {
                    document.warning(
                        "anyone can send any '\(name)', so each new value buys a fresh budget; add 'known', 'from: trusted_proxies', or a limit with 'key: [address]'",
                        at: places.client[index])
                }
            case .bearer(nil)
            where policy.limits.contains(where: { $0.key.contains(.client) && !hasAddressLimit(for: $0) }):
                document.warning(
                    "anyone can send any 'Authorization: Bearer', so each new value buys a fresh budget; add 'known', or a limit with 'key: [address]'",
                    at: places.client[index])
            case .header(let name, true, _) where policy.trustedProxies.isEmpty:
                document.warning(
                    "'\(name)' is accepted only from trusted proxies, but the policy has no 'trusted_proxies', so it is never used",
                    at: places.client[index])
            case .address where index < policy.clientSources.count - 1:
                document.warning(
                    "every request has an address, so the client sources after this one are never used",
                    at: places.client[index])
            default: break
            }
        }
        if case .header(let name)? = policy.tiers?.source?.kind, policy.trustedProxies.isEmpty {
            document.warning(
                "the tier header '\(name)' is accepted only from trusted proxies, but the policy has no 'trusted_proxies', so every client has the default tier",
                at: nil)
        }
    }

    private func checkProxies() {
        for range in policy.trustedProxies where range.description.hasSuffix("/0") {
            document.warning("'\(range)' trusts everybody, so any client can choose its own address", at: nil)
        }
        if policy.gateway.listen.contains(where: \.isUnixSocket),
            !policy.trustedProxies.contains(where: { $0.contains(.unixSocket) })
        {
            document.warning(
                "whoever connects through the Unix socket counts as one client; if a proxy does, add 'unix' to 'trusted_proxies'",
                at: places.listen)
        }
    }

    /// Whether an enforced limit by address applies to all requests of this limit.
    private func hasAddressLimit(for limit: LimitRule) -> Bool {
        policy.limits.contains {
            $0.isKeptByAddress && $0.boundsRate && !$0.isShadow && $0.match.covers(limit.match)
        }
    }
}

extension LimitRule {
    /// Whether clients can't choose the limit's key: it is their address, the route, or the same for all.
    fileprivate var isKeptByAddress: Bool {
        key.allSatisfy { dimension in
            switch dimension.kind {
            case .address, .global, .route: true
            case .client, .path, .host, .method, .header, .claim, .parameter, .json: false
            }
        }
    }

    /// Whether the limit bounds the number of requests over time. An unlimited one doesn't, and a concurrency limit
    /// bounds only requests in flight.
    fileprivate var boundsRate: Bool {
        allowance.values.contains { if case .rates = $0.kind { true } else { false } }
    }
}

extension CostRule {
    /// Whether every request costs something, whatever the response.
    fileprivate var countsRequests: Bool {
        switch kind {
        case .fixed(let units): units > 0
        case .request: true
        case .response: false
        }
    }
}

extension KeyDimension {
    /// Whether a client can choose the value freely.
    fileprivate var isFreelyChosen: Bool {
        switch kind {
        case .path, .host, .method, .header, .parameter, .json(_, known: nil, _): true
        case .client, .address, .route, .global, .claim, .json: false
        }
    }
}

extension RequestMatch {
    /// Whether every request that meets the other conditions is certain to meet these too.
    func covers(_ other: RequestMatch) -> Bool {
        func isWider<Value: Equatable>(_ mine: [Value], _ theirs: [Value]) -> Bool {
            mine.isEmpty || !theirs.isEmpty && theirs.allSatisfy { mine.contains($0) }
        }
        guard !isNone, !other.isNone, isWider(methods, other.methods), isWider(hosts, other.hosts),
            isWider(tiers, other.tiers),
            isWider(addresses, other.addresses),
            headers.allSatisfy({ header in other.headers.contains { $0 == header } }),
            json.allSatisfy({ condition in other.json.contains { $0 == condition } })
        else { return false }
        if paths.isEmpty || paths.contains(where: \.isEverything) { return true }
        return !other.paths.isEmpty && other.paths.allSatisfy { path in paths.contains { $0.covers(path) } }
    }
}

extension PathPattern {
    /// Whether the pattern matches all paths.
    fileprivate var isEverything: Bool { description == "/*" }

    /// Whether every path that matches the other pattern is certain to match this one.
    func covers(_ other: PathPattern) -> Bool {
        if self == other { return true }
        guard isPrefix, parts.count == 1, case .literal(let mine) = parts[0],
            case .literal(let theirs)? = other.parts.first
        else {
            return false
        }
        return theirs.starts(with: mine)
    }
}
