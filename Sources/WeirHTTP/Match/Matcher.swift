/// Finds the rules whose conditions a request meets.
struct Matcher: Sendable {
    private var index = PathIndex()
    /// Rules that have no paths and only exact hosts, by host.
    private var byHost: [String: [Int]] = [:]
    /// All other rules that have no paths. Each of them is checked for every request.
    private var others: [Int] = []
    private let matches: [RequestMatch]
    /// For each rule, whether it has no condition other than its paths.
    private let isPlain: [Bool]
    private(set) var hasPaths = false
    private let ignoresCase: Bool

    /// - Parameter ignoresCase: whether paths match regardless of the case of their ASCII letters.
    init(_ matches: [RequestMatch], ignoresCase: Bool = false) {
        self.matches = matches
        self.ignoresCase = ignoresCase
        isPlain = matches.map {
            $0.methods.isEmpty && $0.hosts.isEmpty && $0.headers.isEmpty && $0.tiers.isEmpty && $0.addresses.isEmpty
        }
        for (rule, match) in matches.enumerated() where !match.isNone {
            if !match.paths.isEmpty {
                hasPaths = true
                for (pattern, path) in match.paths.enumerated() {
                    index.insert(path, id: rule << 16 | pattern, ignoresCase: ignoresCase)
                }
            } else if !match.hosts.isEmpty, !match.hosts.contains(where: { $0.hasPrefix("*") }) {
                for host in match.hosts { byHost[host, default: []].append(rule) }
            } else {
                others.append(rule)
            }
        }
    }

    var usesMethods: Bool { matches.contains { !$0.methods.isEmpty } }
    var isEmpty: Bool { matches.isEmpty }

    /// Finds the matching rules, in the policy's order and without duplicates.
    ///
    /// - Parameter found: replaced by the matching rules. Its storage is reused.
    func find(_ request: some LimitableRequest, _ facts: RequestFacts, into found: inout [MatchedRule]) {
        found.removeAll(keepingCapacity: true)
        for rule in others where holds(rule, request, facts) { found.append(MatchedRule(rule: rule, pattern: 0)) }
        if !byHost.isEmpty, let host = facts.host, let rules = byHost[host] {
            for rule in rules where holds(rule, request, facts) {
                Self.insert(MatchedRule(rule: rule, pattern: 0), &found)
            }
        }
        guard hasPaths else { return }
        addMatches(of: facts.path, request, facts, to: &found)
        for reading in facts.otherReadings { addMatches(of: reading, request, facts, to: &found) }
        guard let route = facts.route else { return }
        // A rule for a route must apply to every request that reaches it, however the request spelled its path.
        if let path = route.path, path != facts.path { addMatches(of: path, request, facts, to: &found) }
        if let template = route.template, template != facts.path {
            addMatches(of: template, request, facts, to: &found)
        }
    }

    private func addMatches(
        of path: String, _ request: some LimitableRequest, _ facts: RequestFacts, to found: inout [MatchedRule]
    ) {
        index.forEachMatch(ignoresCase ? path.caseless : path) { id in
            let rule = id >> 16
            if holds(rule, request, facts) { Self.insert(MatchedRule(rule: rule, pattern: id & 0xFFFF), &found) }
        }
    }

    /// Inserts a rule in the policy's order. A rule found twice keeps the first of its matching patterns.
    private static func insert(_ new: MatchedRule, _ found: inout [MatchedRule]) {
        var place = found.count
        while place > 0, found[place - 1].rule > new.rule { place -= 1 }
        if place > 0, found[place - 1].rule == new.rule {
            found[place - 1].pattern = min(found[place - 1].pattern, new.pattern)
        } else {
            found.insert(new, at: place)
        }
    }

    private func holds(_ rule: Int, _ request: some LimitableRequest, _ facts: RequestFacts) -> Bool {
        if isPlain[rule] { return true }
        let match = matches[rule]
        if !match.methods.isEmpty, !match.methods.contains(facts.method) { return false }
        if !match.hosts.isEmpty, !match.hosts.contains(where: { Self.host(facts.host, fits: $0) }) { return false }
        if !match.tiers.isEmpty, !match.tiers.contains(where: { $0 == facts.tier }) { return false }
        if !match.addresses.isEmpty, !match.addresses.contains(where: { $0.contains(facts.address) }) { return false }
        return match.headers.allSatisfy { condition in
            var holds = false
            request.forEachValue(of: condition.name) { value in
                if condition.value.map({ $0.utf8.elementsEqual(value.utf8) }) ?? true { holds = true }
            }
            return holds
        }
    }

    /// Whether a host matches a pattern: `api.example.com`, or `*.example.com` for all its subdomains.
    private static func host(_ host: String?, fits pattern: String) -> Bool {
        guard let host else { return false }
        return pattern.hasPrefix("*.") ? host.hasSuffix(pattern.dropFirst()) : host == pattern
    }
}
