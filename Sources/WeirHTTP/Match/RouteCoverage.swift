/// The routes of an app that a policy doesn't limit.
public struct RouteCoverage: Sendable, Hashable {
    /// Routes without a limit that applies to every request: no limit matches them, or only for some clients, tiers or
    /// hosts. Limits in shadow mode don't count.
    public var unlimited: [AppRoute] = []
    /// Routes that the policy, or the app, exempts from all limits.
    public var exempt: [AppRoute] = []
    /// Routes that may be limited, but Hummingbird hides whether they are.
    public var unknown: [AppRoute] = []

    /// Creates a coverage without routes.
    public init() {}
}

/// Whether a route's requests pass a policy's middleware.
package enum RoutePassage: Sendable, Hashable {
    case passes, bypasses, unknown
}

extension RequestLimiter {
    /// Checks the policy against the routes of an app, for a router that doesn't expose its routes.
    ///
    /// - Parameter routes: all routes of the app. All of them must be behind the limiter.
    /// - Returns: the routes that the policy doesn't limit.
    /// - Throws: ``PolicyError`` with an error for each path in a rule that matches none of the routes.
    public func verify(_ routes: [AppRoute]) throws(PolicyError) -> RouteCoverage {
        try verify(routes) { _ in .passes }
    }

    /// Checks the policy against routes of which some may bypass the policy's limits.
    ///
    /// - Parameter passage: whether a route's requests pass a middleware of the policy.
    package func verify(
        _ routes: [AppRoute], passage: (AppRoute) -> RoutePassage
    ) throws(PolicyError) -> RouteCoverage {
        let policy = current.policy
        let inCode = rulesInCode
        try check(routes, policy, inCode.map(\.rule))
        var coverage = RouteCoverage()
        for route in routes {
            let passage = passage(route)
            let isLimitedInCode = inCode.contains { $1.contains(route) && !$0.isShadow && $0.match.covers(route) }
            let hasLimit = policy.limits.contains { !$0.isShadow && $0.match.covers(route) }
            if freeRoutes.contains(route)
                || passage == .passes && policy.exemptions.contains(where: { $0.covers(route) })
            {
                coverage.exempt.append(route)
            } else if isLimitedInCode || hasLimit && passage == .passes {
                continue
            } else if passage == .unknown {
                coverage.unknown.append(route)
            } else {
                coverage.unlimited.append(route)
            }
        }
        return coverage
    }

    /// Checks that each path of a rule matches a route.
    private func check(_ routes: [AppRoute], _ policy: Policy, _ inCode: [LimitRule]) throws(PolicyError) {
        var errors: [PolicyDiagnostic] = []
        func check(_ match: RequestMatch, _ what: String) {
            for pattern in match.paths where !routes.contains(where: { pattern.fits($0.template) }) {
                let hint = Suggestion.text(for: pattern.description, among: routes.map(\.template))
                errors.append(
                    PolicyDiagnostic(
                        severity: .error, file: "policy",
                        message: "\(what): no route of the app matches '\(pattern)'\(hint)"))
            }
        }
        for rule in policy.limits + inCode { check(rule.match, "limit '\(rule.name)'") }
        for rule in policy.accessRules { check(rule.match, "an access rule") }
        for match in policy.exemptions { check(match, "an exemption") }
        guard errors.isEmpty else { throw PolicyError(errors) }
    }
}

extension RequestMatch {
    /// Whether every request to a route meets these conditions.
    fileprivate func covers(_ route: AppRoute) -> Bool {
        guard !isNone, json.isEmpty, hosts.isEmpty, headers.isEmpty, tiers.isEmpty, addresses.isEmpty else {
            return false
        }
        let method = route.method == "HEAD" ? "GET" : route.method
        guard methods.isEmpty || methods.contains(method) else { return false }
        return paths.isEmpty || paths.contains { $0.covers(route.template) }
    }
}

extension PathPattern {
    /// Whether the pattern matches the path of some request to a route.
    ///
    /// Case counts only if the template has upper case, because a case-insensitive router keeps its templates in lower
    /// case.
    func fits(_ template: String) -> Bool { compare(template, wildcardsFit: true) }

    /// Whether the pattern matches the path of every request to a route.
    func covers(_ template: String) -> Bool { compare(template, wildcardsFit: false) }

    private func compare(_ template: String, wildcardsFit: Bool) -> Bool {
        let ignoresCase = template.mayBeCaseless
        func segments(_ text: String) -> [Substring] {
            (ignoresCase ? text.caseless : text).split(separator: "/", omittingEmptySubsequences: true)
        }
        let routes = segments(template)
        // The rest of a path is everything that follows, like a `*`.
        let end = restName == nil ? nil : description.lastIndex(of: "{")
        let text = end.map { description[..<$0] } ?? description.dropLast(isPrefix ? 1 : 0)
        var own = segments(String(text))
        // Unless a slash precedes the `*`, the text in front of it is the beginning of a segment.
        let beginning = isPrefix && !text.hasSuffix("/") ? own.popLast() : nil
        for (index, segment) in own.enumerated() {
            guard index < routes.count else { return false }
            let route = routes[index]
            if route == "**" { return wildcardsFit }
            if segment.hasPrefix("{") || segment == route { continue }
            if !wildcardsFit || !Self.isWildcard(route) { return false }
        }
        guard isPrefix else { return routes.count == own.count || wildcardsFit && routes[own.count...] == ["**"] }
        guard let beginning else { return true }
        guard own.count < routes.count else { return false }
        return routes[own.count].hasPrefix(beginning) || wildcardsFit && Self.isWildcard(routes[own.count])
    }

    private static func isWildcard(_ segment: Substring) -> Bool { segment.contains("*") || segment.contains("{") }
}
