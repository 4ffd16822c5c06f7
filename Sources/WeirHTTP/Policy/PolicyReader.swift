import Weir
import Yams

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Converts the nodes of a policy into plain values. Every method reports faults and continues, so one run shows all
/// errors.
final class PolicyReader {
    let document: PolicyDocument
    let environment: [String: String]
    var places = PolicyPlaces()
    var token: TokenSettings?
    /// The files read so far, so that each is read and watched once.
    var directories: [String: ClientFile] = [:]
    /// The tier of clients that have none, even if the rest of 'tiers' is faulty.
    var fallbackTier: String?
    var files: [String] = []

    init(document: PolicyDocument, environment: [String: String]) {
        self.document = document
        self.environment = environment
        files = [document.file]
    }

    func policy(_ root: Node) -> Policy? {
        guard let top = document.mapping(root, .policy) else { return nil }
        var policy = Policy()
        readGateway(top, &policy)
        if let log = top.mapping("log", .log) {
            policy.log.denialsPerSecond =
                log.integer("denials_per_second", in: 0...1_000_000).map(Int.init) ?? policy.log.denialsPerSecond
        }
        policy.crossOrigin = top.mapping("cors", .cors).map { readCrossOrigin($0) }
        if let headers = top.mapping("headers", .headers) { readHeaders(headers, &policy.headers) }
        policy.trustedProxies = addresses(top["trusted_proxies"], "'trusted_proxies'")
        if let header = top.choice(
            "address_header", ["X-Forwarded-For": AddressHeader.xForwardedFor, "Forwarded": .forwarded])
        {
            policy.addressHeader = header
        }
        policy.allowsLenientPaths = top.choice("paths", ["strict": false, "lenient": true])
        policy.maximumBodySize = top.size("body_limit", in: 1...(1 << 30)).map(Int.init) ?? policy.maximumBodySize
        readIdentity(top, &policy)
        policy.accessRules = readList(top["access"], "'access'").compactMap { accessRule($0) }
        policy.exemptions = readList(top["exempt"], "'exempt'").compactMap { node in
            match(node, inExempt: true).map { match in
                places.exempt.append(node.place)
                return match
            }
        }
        policy.bypass = top.mapping("bypass", .bypass).flatMap(bypass)
        let limits = readList(top["limits"], "'limits'")
        policy.limits = limits.compactMap { limit($0, fallbackTier: fallbackTier) }
        if policy.limits.isEmpty, !document.hasErrors {
            top.warning("the policy has no limits, so every request passes", at: "limits")
        }
        for clash in LimitRule.nameClashes(in: policy.limits) {
            document.error(clash.message, at: places.limits[clash.limit])
        }
        policy.files = files
        return policy
    }

    func readList(_ node: Node?, _ what: String) -> [Node] {
        guard let node else { return [] }
        if case .sequence(let sequence) = node { return Array(sequence) }
        if case .scalar(let scalar) = node, scalar.string.isEmpty { return [] }
        document.error("\(what) must be a list (each item on a line that begins with '- ')", at: node.place)
        return []
    }

    func addresses(_ node: Node?, _ what: String) -> [IPAddressRange] {
        guard let node else { return [] }
        return document.list(node).compactMap { item in
            guard let text = document.text(item, what) else { return nil }
            if let range = IPAddressRange(text) { return range }
            document.error(
                "'\(text)' is not an address or a range such as 10.0.0.0/8 or 2001:db8::/32, nor 'unix', for Unix sockets",
                at: item.place)
            return nil
        }
    }

    /// Resolves a path relative to the policy's own file.
    func resolve(_ path: String) -> String {
        if path.hasPrefix("/") { return path }
        guard let slash = document.file.lastIndex(of: "/") else { return path }
        return String(document.file[...slash]) + path
    }

    private func accessRule(_ node: Node) -> AccessRule? {
        guard let rule = document.mapping(node, .access) else { return nil }
        let tiers = rule.texts("tier")
        let denies = rule.boolean("deny") ?? false
        if tiers?.isEmpty == true {
            rule.error("'tier' is an empty list; to deny everybody, write 'deny: true'", at: "tier")
        }
        guard (tiers != nil) != denies else {
            rule.error("an access rule needs either 'tier', the tiers that may pass, or 'deny: true'")
            return nil
        }
        var condition = RequestMatch()
        if let node = rule["match"] {
            guard let match = match(node) else { return nil }
            condition = match
        }
        places.access.append(node.place)
        return AccessRule(condition, tiers: tiers)
    }

    private func bypass(_ mapping: PolicyMapping) -> Bypass? {
        guard let header = mapping["header"].flatMap({ fieldName($0, "'header'") }) else {
            mapping.error("'bypass' needs a 'header'")
            return nil
        }
        guard let secret = mapping["secret"] else {
            mapping.error("'bypass' needs a 'secret', such as {env: WEIR_BYPASS_SECRET}")
            return nil
        }
        guard case .mapping = secret else {
            document.error(
                "a secret must not stand in the policy; name a variable or a file: {env: WEIR_BYPASS_SECRET}",
                at: secret.place)
            return nil
        }
        guard let source = document.mapping(secret, .secret) else { return nil }
        var value: String?
        if let name = source.text("env") {
            value = environment[name]
            if value == nil { source.error("the environment variable '\(name)' is not set", at: "env") }
        } else if let file = source.text("file") {
            value = readText(file, at: source["file"]?.place)?.trimmingSpaces()
        } else {
            source.error("'secret' needs 'env' or 'file'")
        }
        guard let value else { return nil }
        let bypass = Bypass(header: header, secret: value)
        let problems = RuleChecker.problems(of: bypass)
        for problem in problems { mapping.error(problem) }
        return problems.isEmpty ? bypass : nil
    }

    func readText(_ file: String, at mark: Place?) -> String? {
        let path = resolve(file)
        guard let data = try? Data(contentsOf: URL(fileURLWithPath: path)) else {
            let exists = FileManager.default.fileExists(atPath: path)
            document.error(exists ? "the file '\(path)' can't be read" : "there is no file '\(path)'", at: mark)
            return nil
        }
        guard let text = String(validating: data, as: UTF8.self) else {
            document.error("the file '\(path)' is not a text in UTF-8", at: mark)
            return nil
        }
        if !files.contains(path) { files.append(path) }
        return text.withoutByteOrderMark
    }

    /// Reads a header field's name (RFC 9110: a token).
    func fieldName(_ node: Node, _ what: String) -> String? {
        guard let text = document.text(node, what) else { return nil }
        if let problem = RuleChecker.problem(ofFieldName: text) {
            document.error(problem, at: node.place)
            return nil
        }
        return text
    }
}

extension LimitRule {
    /// The name of one of several windows: `predict`, `predict-2`, …
    static func windowName(_ name: String, _ window: Int) -> String {
        window == 0 ? name : "\(name)-\(window + 1)"
    }

    /// The names of its windows in headers.
    var windowNames: [String] {
        let most = allowance.values.map { if case .rates(let rates) = $0.kind { rates.count } else { 1 } }.max() ?? 1
        return (0..<max(1, most)).map { Self.windowName(name, $0) }
    }

    /// The limits whose name, or a window's name, an earlier limit already has: headers couldn't tell them apart.
    static func nameClashes(in limits: [LimitRule]) -> [(limit: Int, message: String)] {
        var owners: [String: String] = [:]
        var clashes: [(limit: Int, message: String)] = []
        for (index, limit) in limits.enumerated() {
            for name in limit.windowNames {
                if let owner = owners[name] {
                    let reason =
                        owner == limit.name && name == limit.name
                        ? "is used twice" : "collides with a window of '\(owner)'"
                    clashes.append((index, "the limit name '\(name)' \(reason)"))
                }
                owners[name] = limit.name
            }
        }
        return clashes
    }
}
