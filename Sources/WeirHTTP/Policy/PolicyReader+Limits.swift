import Weir
import Yams

extension PolicyReader {
    func limit(_ node: Node, fallbackTier: String?) -> LimitRule? {
        guard let mapping = document.mapping(node, .limit) else { return nil }
        guard let name = mapping.text("name") else {
            mapping.error("a limit needs a 'name'")
            return nil
        }
        guard Limit.isValid(name: name) else {
            mapping.error("a limit's name must be 1 to 64 letters, digits, '_' or '-', not '\(name)'", at: "name")
            return nil
        }
        guard let algorithm = algorithm(mapping), let allowance = allowance(mapping, algorithm, fallbackTier) else {
            return nil
        }
        var rule = LimitRule(name: name, allowance: allowance)
        rule.algorithm = algorithm
        if let node = mapping["match"] {
            guard let match = match(node) else { return nil }
            rule.match = match
        }
        if let node = mapping["key"] { rule.key = dimensions(node, rule.match) }
        rule.isShadow = mapping.choice("mode", ["enforce": false, "shadow": true]) ?? false
        rule.countsDenied = mapping.boolean("count_denied") ?? false
        rule.onStoreFailure = mapping.choice("on_store_failure", PolicyReader.failureModes)
        rule.isLeased = mapping.choice("sync", ["exact": false, "leased": true]) ?? false
        readAlgorithmOptions(mapping, &rule)
        if let node = mapping["cost"] { rule.cost = cost(node, rule) ?? rule.cost }
        if let warmUp = mapping.mapping("warm_up", .warmUp) { rule.warmUp = self.warmUp(warmUp) }
        places.limits.append(node.place)
        places.limitKeys.append(mapping["key"]?.place)
        places.matches.append(mapping["match"]?.place)
        return rule
    }

    private func algorithm(_ mapping: PolicyMapping) -> Algorithm? {
        guard let node = mapping["algorithm"] else { return .tokenBucket }
        guard let text = document.text(node, "'algorithm'") else { return nil }
        if let algorithm = Algorithm(rawValue: text) { return algorithm }
        let names = Algorithm.all.map(\.rawValue)
        document.error(
            "unknown algorithm '\(text)'; there are \(names.joined(separator: ", "))\(Suggestion.text(for: text, among: names))",
            at: node.place)
        return nil
    }

    private func readAlgorithmOptions(_ mapping: PolicyMapping, _ rule: inout LimitRule) {
        func belongs(_ key: String, to algorithm: Algorithm) {
            if mapping[key] != nil, rule.algorithm != algorithm {
                mapping.error("'\(key)' belongs to \(algorithm), not to \(rule.algorithm)", at: key)
            }
        }
        belongs("align", to: .fixedWindow)
        belongs("max_wait", to: .leakyBucket)
        belongs("burst", to: .tokenBucket)
        rule.alignment =
            mapping.choice("align", ["epoch": WindowAlignment.epoch, "first-request": .firstRequest]) ?? .epoch
        rule.maxWait = mapping.duration("max_wait", in: 0...Limit.longestWait) ?? rule.maxWait
        if rule.isLeased, !rule.algorithm.canBeLeased {
            mapping.error(
                "'sync: leased' is for token-bucket, fixed-window and sliding-window, not for \(rule.algorithm)",
                at: "sync")
        }
        if rule.countsDenied, rule.algorithm == .concurrency {
            mapping.error(
                "'count_denied' has no meaning for concurrency: nothing is held by a denied request", at: "count_denied"
            )
        }
    }

    // MARK: Numbers

    private func allowance(
        _ mapping: PolicyMapping, _ algorithm: Algorithm, _ fallbackTier: String?
    ) -> ByTier<LimitRule.Allowance>? {
        let key = algorithm == .concurrency ? "limit" : "rate"
        let other = algorithm == .concurrency ? "rate" : "limit"
        if mapping[other] != nil {
            let hint =
                algorithm == .concurrency
                ? "concurrency takes 'limit', how many may be in flight"
                : "\(algorithm) takes 'rate'; 'limit' belongs to concurrency"
            mapping.error(hint, at: other)
            return nil
        }
        guard let node = mapping[key] else {
            mapping.error(
                algorithm == .concurrency
                    ? "a concurrency limit needs 'limit', how many may be in flight"
                    : "a limit needs a 'rate', such as 20/minute")
            return nil
        }
        let burst = mapping.integer("burst", in: 1...Rate.largestCount)
        guard case .mapping(let tiers) = node else {
            return allowance(node, algorithm, burst).map { .all($0) }
        }
        var each: [String: LimitRule.Allowance] = [:]
        for (tier, value) in tiers {
            guard let name = document.text(tier, "a tier"), let allowance = allowance(value, algorithm, burst) else {
                return nil
            }
            each[name] = allowance
        }
        guard let fallbackTier else {
            document.error("a '\(key)' by tier needs 'tiers' with a 'default'", at: node.place)
            return nil
        }
        guard each[fallbackTier] != nil else {
            document.error("'\(key)' has no entry for the default tier '\(fallbackTier)'", at: node.place)
            return nil
        }
        return .each(each)
    }

    private func allowance(_ node: Node, _ algorithm: Algorithm, _ burst: Int64?) -> LimitRule.Allowance? {
        guard let text = document.text(node, "a rate") else { return nil }
        if algorithm == .concurrency {
            if text == "unlimited" { return .unlimited }
            return document.integer(node, "a concurrency limit", in: 1...Rate.largestCount).map { .concurrency($0) }
        }
        do {
            guard var rates = try RateText.rates(text) else { return .unlimited }
            if algorithm != .tokenBucket, rates.contains(where: { $0.burst != $0.count }) {
                throw ValueError("'burst' belongs to token-bucket, not to \(algorithm)")
            }
            if let burst {
                guard rates.count == 1 else {
                    throw ValueError("'burst' as a key of its own needs a rate of a single window")
                }
                guard rates[0].burst == rates[0].count else { throw ValueError("'burst' is given twice") }
                do {
                    rates[0] = try Rate(rates[0].count, per: rates[0].period, burst: burst)
                } catch { throw ValueError(error.description) }
            }
            return .rates(rates)
        } catch {
            document.error("'rate': \((error as? ValueError)?.description ?? "\(error)")", at: node.place)
            return nil
        }
    }

    // MARK: Keys

    private func dimensions(_ node: Node, _ match: Match) -> [KeyDimension] {
        let dimensions = document.list(node).compactMap { dimension($0, match) }
        if dimensions.isEmpty, !document.hasErrors {
            document.error("'key' needs at least one dimension; [global] is one budget for all", at: node.place)
        }
        return dimensions
    }

    private func dimension(_ node: Node, _ match: Match) -> KeyDimension? {
        if case .mapping = node {
            guard let mapping = document.mapping(node, .keyDimension) else { return nil }
            if let header = mapping["header"] { return fieldName(header, "'header'").map { .header($0) } }
            if let claim = mapping["jwt"] {
                if case .mapping = claim {
                    return document.mapping(claim, .jwt).flatMap(tokenClaim).map { .claim($0) }
                }
                guard token != nil else {
                    document.error(
                        "a key of a JWT claim needs 'keys': {jwt: {claim: sub, keys: jwks.json}}", at: claim.place)
                    return nil
                }
                return document.text(claim, "'jwt'").map { .claim($0) }
            }
            if let parameter = mapping.text("param") {
                guard match.paths.isEmpty == false, match.paths.allSatisfy({ $0.parameters.contains(parameter) }) else {
                    mapping.error("no path of this limit's match has a '{\(parameter)}'", at: "param")
                    return nil
                }
                return .parameter(parameter)
            }
            return mapping["address"].map { .address(ipv6Prefix: ipv6Prefix($0)) }
        }
        return document.choice(
            node, "a key dimension",
            [
                "client": KeyDimension.client, "address": .address(ipv6Prefix: nil), "route": .route, "path": .path,
                "global": .global, "host": .host, "method": .method,
            ])
    }

    // MARK: Costs

    private func cost(_ node: Node, _ rule: LimitRule) -> CostRule? {
        let capacity = rule.smallestCapacity
        if case .scalar = node {
            guard let value = document.integer(node, "'cost'", in: 0...Rate.largestCount) else { return nil }
            if let capacity, value > capacity {
                document.error(
                    "a cost of \(value) is above the limit's capacity of \(capacity), so no request would ever pass",
                    at: node.place)
            }
            return .fixed(value)
        }
        guard let mapping = document.mapping(node, .cost) else { return nil }
        let kinds = ["header", "query", "json_length", "json", "response"].filter { mapping[$0] != nil }
        guard kinds.count == 1 else {
            mapping.error("'cost' needs exactly one of 'header', 'query', 'json_length', 'json' and 'response'")
            return nil
        }
        let most = mapping.integer("max", in: 1...Rate.largestCount)
        if let most, let capacity, most > capacity {
            mapping.error(
                "'max' of \(most) is above the limit's capacity of \(capacity): such a request would never pass",
                at: "max")
        }
        if let response = mapping["response"] { return responseCost(response, mapping, most, rule) }
        if mapping["reserve"] != nil { mapping.error("'reserve' belongs to a cost from the response", at: "reserve") }
        let fallback = mapping.integer("default", in: 1...Rate.largestCount) ?? 1
        if let capacity, fallback > capacity {
            mapping.error(
                "'default' of \(fallback) is above the limit's capacity of \(capacity): such a request would never pass",
                at: "default")
        }
        if let most, fallback > most { mapping.error("'default' is above 'max'", at: "default") }
        return requestCost(mapping).map { .request($0, fallback: fallback, max: most) }
    }

    private func requestCost(_ mapping: PolicyMapping) -> CostRule.RequestCost? {
        if let header = mapping["header"] { return fieldName(header, "'header'").map { .header($0) } }
        if let query = mapping.text("query") { return .query(query) }
        if let length = mapping["json_length"] { return pointer(length).map { .jsonLength($0) } }
        return mapping["json"].flatMap(pointer).map { .json($0) }
    }

    private func responseCost(_ node: Node, _ cost: PolicyMapping, _ most: Int64?, _ rule: LimitRule) -> CostRule? {
        guard let mapping = document.mapping(node, .response) else { return nil }
        if rule.algorithm == .leakyBucket || rule.algorithm == .concurrency {
            let reason =
                rule.algorithm == .leakyBucket
                ? "a leaky bucket gives out its slots before the response"
                : "a permit is held until the response has ended"
            document.error("\(reason), so its cost can't come from there", at: node.place)
            return nil
        }
        let kinds = ["status", "header", "json"].filter { mapping[$0] != nil }
        guard kinds.count == 1 else {
            mapping.error("a cost from the response needs exactly one of 'status', 'header' and 'json'")
            return nil
        }
        let capacity = rule.smallestCapacity
        let reserve = cost.integer("reserve", in: 0...Rate.largestCount) ?? 0
        if let capacity, reserve > capacity {
            cost.error(
                "'reserve' of \(reserve) is above the limit's capacity of \(capacity), so no request would ever pass",
                at: "reserve")
        }
        let range: ClosedRange<Int64> = 0...Rate.largestCount
        let fallback =
            mapping.integer("default", in: range) ?? cost.integer("default", in: range)
            ?? (mapping["status"] != nil ? 0 : 1)
        guard let source = responseSource(mapping) else { return nil }
        return .response(source, reserve: reserve, fallback: fallback, max: most)
    }

    private func responseSource(_ mapping: PolicyMapping) -> CostRule.ResponseCost? {
        if let header = mapping["header"] { return fieldName(header, "'header'").map { .header($0) } }
        if let json = mapping["json"] { return pointer(json).map { .json($0) } }
        guard case .mapping(let statuses)? = mapping["status"] else {
            mapping.error("'status' must be a mapping of statuses and costs, such as {401: 1, 403: 1}", at: "status")
            return nil
        }
        var costs: [Int: Int64] = [:]
        for (status, cost) in statuses {
            guard let code = document.integer(status, "a status", in: 100...599),
                let units = document.integer(cost, "a status' cost", in: 0...Rate.largestCount)
            else { return nil }
            costs[Int(code)] = units
        }
        return .status(costs)
    }

    private func pointer(_ node: Node) -> JSONPointer? {
        guard let text = document.text(node, "a JSON pointer") else { return nil }
        if let pointer = JSONPointer(text) { return pointer }
        document.error("'\(text)' is not a JSON pointer (RFC 6901), such as /usage/total_tokens", at: node.place)
        return nil
    }

    private func warmUp(_ mapping: PolicyMapping) -> WarmUpRule? {
        guard let text = mapping.text("factor") else {
            mapping.error("'warm_up' needs a 'factor', such as 0.2")
            return nil
        }
        let factor: (numerator: Int64, denominator: Int64)
        do {
            factor = try RateText.fraction(text)
        } catch {
            mapping.error("'factor': \(error.description)", at: "factor")
            return nil
        }
        var until: WarmUpRule.Until?
        if let after = mapping.duration("after", in: 1...Rate.longestPeriod) { until = .after(after) }
        if let ready = mapping.mapping("until", .until) {
            guard until == nil, let path = ready.text("path"), path.hasPrefix("/") else {
                mapping.error("'warm_up' needs either 'after' or 'until: {path: /ready}'", at: "until")
                return nil
            }
            until = .ready(path: path)
        }
        guard let until else {
            mapping.error("'warm_up' needs 'until: {path: /ready}' or 'after: 5m'")
            return nil
        }
        return WarmUpRule(factor.numerator, over: factor.denominator, until: until)
    }
}

extension LimitRule {
    /// The least that any of its tiers and windows can hold; nil when all are unlimited.
    var smallestCapacity: Int64? {
        allowance.values.flatMap { allowance -> [Int64] in
            switch allowance {
            case .unlimited: []
            case .rates(let rates): rates.map { algorithm == .tokenBucket ? $0.burst : $0.count }
            case .concurrency(let count): [count]
            }
        }.min()
    }
}
