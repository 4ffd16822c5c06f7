/// Finds the rules whose conditions a request meets.
struct Matcher: Sendable {
    private var index = PathIndex()
    /// Rules without a path but with hosts that are exact.
    private var byHost: [String: [Int]] = [:]
    /// Rules with neither.
    private var others: [Int] = []
    private let matches: [Match]
    /// Whether a rule has conditions beside its path.
    private let isPlain: [Bool]
    private(set) var hasPaths = false
    private let ignoresCase: Bool

    /// - Parameter ignoresCase: whether paths are compared without regard to the case of ASCII letters.
    init(_ matches: [Match], ignoresCase: Bool = false) {
        self.matches = matches
        self.ignoresCase = ignoresCase
        isPlain = matches.map {
            $0.methods.isEmpty && $0.hosts.isEmpty && $0.headers.isEmpty && $0.tiers.isEmpty && $0.addresses.isEmpty
        }
        for (rule, match) in matches.enumerated() {
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

    /// Finds the rules that match, in the policy's order, each once.
    ///
    /// - Parameter found: receives them; what it held is removed.
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
        guard let route = facts.route else { return }
        // What reaches a route is limited by the rules for it, however its router came to it.
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

    /// Keeps the rules in order, each with the first of its patterns that matches.
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

    /// `api.example.com`, or `*.example.com` for all below it.
    private static func host(_ host: String?, fits pattern: String) -> Bool {
        guard let host else { return false }
        return pattern.hasPrefix("*.") ? host.hasSuffix(pattern.dropFirst()) : host == pattern
    }
}
