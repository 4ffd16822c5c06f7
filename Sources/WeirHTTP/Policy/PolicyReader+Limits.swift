import Weir
import Yams

extension PolicyReader {
    func limit(_ node: Node, fallbackTier: String?) -> LimitRule? {
        guard let mapping = document.mapping(node, .limit) else { return nil }
        guard let name = mapping.text("name") else {
            mapping.error("a limit needs a 'name'")
            return nil
        }
        guard Limit.isValidName(name) else {
            mapping.error("\(RuleChecker.badName) '\(name)'", at: "name")
            return nil
        }
        guard let algorithm = algorithm(mapping), let allowance = allowance(mapping, algorithm) else {
            return nil
        }
        var rule = LimitRule(name: name, allowance: allowance)
        rule.algorithm = algorithm
        if let node = mapping["match"] {
            guard let match = match(node, mayReadBody: true) else { return nil }
            rule.match = match
        }
        if let node = mapping["key"] { rule.key = dimensions(node) }
        rule.mode = mapping.choice("mode", ["enforce": LimitRule.Mode.enforce, "shadow": .shadow]) ?? .enforce
        rule.countsDenied = mapping.boolean("count_denied") ?? false
        rule.onStoreFailure = mapping.choice("on_store_failure", PolicyReader.failureModes)
        rule.sync = mapping.choice("sync", ["exact": LimitRule.Sync.exact, "leased": .leased]) ?? .exact
        readAlgorithmOptions(mapping, &rule)
        if let node = mapping["cost"] { rule.cost = cost(node) ?? rule.cost }
        if let warmUp = mapping.mapping("warm_up", .warmUp) { rule.warmUp = self.warmUp(warmUp) }
        for problem in RuleChecker.problems(of: rule, fallbackTier: fallbackTier) {
            mapping.error(problem)
        }
        places.limits.append(node.place)
        places.limitKeys.append(mapping["key"]?.place)
        places.matches.append(mapping["match"]?.place)
        return rule
    }

    private func algorithm(_ mapping: PolicyMapping) -> Algorithm? {
        guard let node = mapping["algorithm"] else { return .tokenBucket }
        guard let text = document.text(node, "'algorithm'") else { return nil }
        if let algorithm = Algorithm(rawValue: text) { return algorithm }
        let names = Algorithm.allCases.map(\.rawValue)
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
        rule.maxWait =
            mapping.duration("max_wait", in: 0...Limit.maximumWaitTicks).map { .microseconds($0) } ?? rule.maxWait
    }

    // MARK: Numbers

    private func allowance(_ mapping: PolicyMapping, _ algorithm: Algorithm) -> ByTier<LimitRule.Allowance>? {
        let isConcurrency = algorithm == .concurrency
        let key = isConcurrency ? "limit" : "rate"
        let other = isConcurrency ? "rate" : "limit"
        if mapping[other] != nil {
            mapping.error(
                isConcurrency ? RuleChecker.rateForConcurrency : RuleChecker.limitForRate(algorithm), at: other)
            return nil
        }
        guard let node = mapping[key] else {
            mapping.error(isConcurrency ? RuleChecker.noConcurrency : RuleChecker.noRate)
            return nil
        }
        let burst = mapping.integer("burst", in: 1...Rate.maximumCount)
        guard case .mapping(let tiers) = node else {
            if case .sequence = node {
                document.error(
                    "write several windows as one text, with ';' between them: '100/minute; 1000/hour'", at: node.place)
                return nil
            }
            return allowance(node, algorithm, burst).map { .uniform($0) }
        }
        var each: [String: LimitRule.Allowance] = [:]
        let names = tiers.compactMap { $0.key.scalar?.string }
        if ["limit", "requests", "count", "window", "period", "unit", "per"].contains(where: names.contains) {
            document.error("write a rate as one text, such as '60/minute' or '20 per 5 minutes'", at: node.place)
            return nil
        }
        for (tier, value) in tiers {
            guard let name = document.text(tier, "a tier"), let allowance = allowance(value, algorithm, burst) else {
                return nil
            }
            each[name] = allowance
        }
        return .perTier(each)
    }

    private func allowance(_ node: Node, _ algorithm: Algorithm, _ burst: Int64?) -> LimitRule.Allowance? {
        guard let text = document.text(node, "a rate") else { return nil }
        if algorithm == .concurrency {
            if text == "unlimited" { return .unlimited }
            return document.integer(node, "a concurrency limit", in: 1...Rate.maximumCount).map { .concurrency($0) }
        }
        do {
            guard var rates = try RateText.rates(text) else { return .unlimited }
            if let burst {
                guard rates.count == 1 else {
                    throw ValueError("'burst' as a key of its own needs a rate of a single window")
                }
                guard rates[0].burst == rates[0].count else { throw ValueError("'burst' is given twice") }
                do {
                    rates[0] = try Rate(rates[0].count, perTicks: rates[0].periodTicks, burst: burst)
                } catch { throw ValueError(error.description) }
            }
            return .rates(rates)
        } catch {
            document.error("'rate': \((error as? ValueError)?.description ?? "\(error)")", at: node.place)
            return nil
        }
    }

    // MARK: Keys

    private func dimensions(_ node: Node) -> [KeyDimension] {
        let nodes = document.list(node)
        let dimensions = nodes.compactMap { dimension($0) }
        // The checker reports an empty list; unreadable dimensions were reported already.
        return dimensions.isEmpty && !nodes.isEmpty ? [.client] : dimensions
    }

    /// What others call the dimensions.
    private static let otherDimensionNames = [
        "ip": "address", "remote_addr": "address", "remote_address": "address", "user": "client", "api_key": "client",
        "apikey": "client", "consumer": "client", "endpoint": "route", "url": "path", "all": "global",
        "service": "global",
    ]

    private func dimension(_ node: Node) -> KeyDimension? {
        if case .mapping = node {
            guard let mapping = document.mapping(node, .keyDimension) else { return nil }
            for key in ["known", "ignore_case"] where mapping[key] != nil && mapping["json"] == nil {
                mapping.error("'\(key)' in a key belongs to 'json'", at: key)
            }
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
            if let json = mapping["json"] {
                let known = mapping.texts("known")
                for value in known ?? [] where value.hasSuffix("*") {
                    mapping.error("'known' lists whole values, and '\(value)' is none", at: "known")
                }
                return pointer(json).map {
                    .json($0, known: known, ignoresCase: mapping.boolean("ignore_case") ?? false)
                }
            }
            if let parameter = mapping.text("param") { return .parameter(parameter) }
            return mapping["address"].map { KeyDimension(.address(ipv6Prefix: ipv6Prefix($0))) }
        }
        if let text = node.scalar?.string, let name = Self.otherDimensionNames[text.lowercased()] {
            document.error("a key dimension '\(text)' is called '\(name)' here", at: node.place)
            return nil
        }
        if let text = node.scalar?.string, text.contains(",") {
            document.error("several dimensions are a list: write [\(text)]", at: node.place)
            return nil
        }
        return document.choice(
            node, "a key dimension",
            [
                "client": KeyDimension.client, "address": .address, "route": .route, "path": .path,
                "global": .global, "host": .host, "method": .method,
            ])
    }

    // MARK: Costs

    private func cost(_ node: Node) -> CostRule? {
        if case .scalar = node {
            return document.integer(node, "'cost'", in: 0...Rate.maximumCount).map { .fixed($0) }
        }
        guard let mapping = document.mapping(node, .cost) else { return nil }
        let kinds = ["header", "query", "json_length", "json_items", "json", "response"].filter { mapping[$0] != nil }
        guard kinds.count == 1 else {
            mapping.error(
                "'cost' needs exactly one of 'header', 'query', 'json_length', 'json_items', 'json' and 'response'")
            return nil
        }
        let most = mapping["max"].flatMap { mostCost($0) }
        if let response = mapping["response"] { return responseCost(response, mapping, most) }
        if mapping["reserve"] != nil { mapping.error("'reserve' is only for a cost from the response", at: "reserve") }
        let fallback = mapping.integer("default", in: 1...Rate.maximumCount) ?? 1
        return requestCost(mapping).map { .request($0, fallback: fallback, max: most) }
    }

    /// Reads a number of units, or one for each tier.
    private func mostCost(_ node: Node) -> MostCost? {
        guard case .mapping(let tiers) = node else {
            return document.integer(node, "'max'", in: 1...Rate.maximumCount).map { MostCost($0) }
        }
        var each: [String: Int64] = [:]
        for (tier, value) in tiers {
            guard let name = document.text(tier, "a tier"),
                let units = document.integer(value, "'max'", in: 1...Rate.maximumCount)
            else { return nil }
            each[name] = units
        }
        return MostCost(each)
    }

    private func requestCost(_ mapping: PolicyMapping) -> CostRule.RequestCost? {
        if let header = mapping["header"] { return fieldName(header, "'header'").map { .header($0) } }
        if let query = mapping.text("query") { return .query(query) }
        if let length = mapping["json_length"] { return pointer(length).map { .jsonLength($0) } }
        if let items = mapping["json_items"] { return pointer(items).map { .jsonItems($0) } }
        return mapping["json"].flatMap(pointers).map { .json($0) }
    }

    private func responseCost(_ node: Node, _ cost: PolicyMapping, _ most: MostCost?) -> CostRule? {
        let range: ClosedRange<Int64> = 0...Rate.maximumCount
        let chargesErrors = cost.choice("errors", ["free": false, "charge": true]) ?? false
        if case .scalar = node {
            guard document.choice(node, "'response'", ["tokens": true]) != nil else { return nil }
            let fallback = cost.integer("default", in: range)
            if fallback == nil { warnOfNoDefault(cost) }
            return .response(
                .body(.tokens), reserve: reserve(cost) ?? .units(0), fallback: fallback ?? 1, max: most,
                chargesErrors: chargesErrors)
        }
        guard let mapping = document.mapping(node, .response) else { return nil }
        let kinds = ["status", "header", "json", "sum"].filter { mapping[$0] != nil }
        guard kinds.count == 1 else {
            mapping.error("a cost from the response needs exactly one of 'status', 'header', 'json' and 'sum'")
            return nil
        }
        let given = mapping.integer("default", in: range) ?? cost.integer("default", in: range)
        if given == nil, kinds != ["status"] { warnOfNoDefault(cost) }
        guard let source = responseSource(mapping) else { return nil }
        let reserve = reserve(cost) ?? .units(source.highestStatusCost ?? 0)
        return .response(
            source, reserve: reserve, fallback: given ?? (kinds == ["status"] ? 0 : 1), max: most,
            chargesErrors: chargesErrors)
    }

    /// Reads a number of units, or their place in the request.
    private func reserve(_ cost: PolicyMapping) -> CostRule.Reserve? {
        guard let node = cost["reserve"] else { return nil }
        let range: ClosedRange<Int64> = 0...Rate.maximumCount
        if case .scalar = node { return document.integer(node, "'reserve'", in: range).map { .units($0) } }
        guard let mapping = document.mapping(node, .reserve) else { return nil }
        let kinds = ["header", "query", "json_length", "json_items", "json"].filter { mapping[$0] != nil }
        guard kinds.count == 1 else {
            mapping.error(
                "'reserve' is a number, or needs exactly one of 'header', 'query', 'json_length', 'json_items' and 'json'"
            )
            return nil
        }
        guard let fallback = mapping.integer("default", in: range) else {
            if mapping["default"] == nil {
                mapping.error("'reserve' needs a 'default', for requests that don't state it")
            }
            return nil
        }
        return requestCost(mapping).map { .request($0, fallback: fallback) }
    }

    private func warnOfNoDefault(_ cost: PolicyMapping) {
        cost.warning(
            "without 'default', a response that doesn't say its cost costs 1; set 'default' to what an ordinary one costs",
            at: "response")
    }

    private func bodyCostPart(_ node: Node) -> BodyCost.Part? {
        guard let mapping = document.mapping(node, .costPart) else { return nil }
        guard let json = mapping["json"] else {
            mapping.error("a part of 'sum' needs 'json', a pointer or a list of pointers")
            return nil
        }
        guard let pointers = pointers(json) else { return nil }
        guard let text = mapping.text("weight") else { return BodyCost.Part(pointers) }
        guard let millionths = RateText.millionths(text) else {
            mapping.error(
                "'weight' must be a number with at most six decimals such as 0.25 or -0.9, not '\(text)'", at: "weight")
            return nil
        }
        return BodyCost.Part(pointers, millionths: millionths)
    }

    /// A pointer, or a list of them.
    private func pointers(_ node: Node) -> [JSONPointer]? {
        let nodes = document.list(node)
        if nodes.isEmpty { document.error("an empty list of JSON pointers finds nothing", at: node.place) }
        let pointers = nodes.compactMap { pointer($0) }
        return pointers.count == nodes.count && !pointers.isEmpty ? pointers : nil
    }

    private func responseSource(_ mapping: PolicyMapping) -> CostRule.ResponseCost? {
        if let header = mapping["header"] { return fieldName(header, "'header'").map { .header($0) } }
        if let json = mapping["json"] { return pointers(json).map { .body(.number($0)) } }
        if let sum = mapping["sum"] {
            let nodes = readList(sum, "'sum'")
            let parts = nodes.compactMap { bodyCostPart($0) }
            if nodes.isEmpty {
                document.error(
                    "'sum' needs a list of parts such as {json: /usage/output_tokens, weight: 4}", at: sum.place)
            }
            return parts.count == nodes.count && !parts.isEmpty ? .body(.sum(parts)) : nil
        }
        guard case .mapping(let statuses)? = mapping["status"] else {
            mapping.error("'status' must be a mapping of statuses and costs, such as {401: 1, 403: 1}", at: "status")
            return nil
        }
        var costs: [Int: Int64] = [:]
        for (status, cost) in statuses {
            guard let code = document.integer(status, "a status", in: 100...599),
                let units = document.integer(cost, "a status' cost", in: 0...Rate.maximumCount)
            else { return nil }
            costs[Int(code)] = units
        }
        return .status(costs)
    }

    func pointer(_ node: Node) -> JSONPointer? {
        guard let text = document.text(node, "a JSON pointer") else { return nil }
        if let pointer = JSONPointer(text) { return pointer }
        document.error(
            "'\(text)' is not a JSON pointer (RFC 6901); write '/\(text.replacing(".", with: "/"))'", at: node.place)
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
        if let after = mapping.duration("after", in: 1...Rate.maximumPeriodTicks) {
            until = WarmUpRule.Until(.after(after))
        }
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

extension CostRule.ResponseCost {
    /// The highest cost of a cost by status.
    fileprivate var highestStatusCost: Int64? {
        if case .status(let costs) = kind { costs.values.max() } else { nil }
    }
}
