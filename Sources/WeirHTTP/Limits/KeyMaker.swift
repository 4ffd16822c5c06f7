import Weir

/// Hashes the values of a limit's key, in order. It is used for one limit after another, so that it allocates once.
struct KeyMaker {
    private(set) var dimensions: [UInt64] = []
    /// The parts that are in the body, and where in the dimensions they belong.
    private(set) var inBody: [(place: Int, dimension: KeyDimension)] = []

    /// Hashes the dimensions of one limit's key for one request.
    @inline(__always)
    mutating func read(
        _ request: some LimitableRequest, _ facts: RequestFacts, _ identity: Identity, of plan: LimitPlan,
        match: MatchedRule, on limiter: RequestLimiter
    ) {
        dimensions.removeAll(keepingCapacity: true)
        if !inBody.isEmpty { inBody.removeAll() }
        for dimension in plan.rule.key {
            append(dimension, request, facts, identity: identity, of: plan, match: match, on: limiter)
        }
    }

    private mutating func append(
        _ dimension: KeyDimension, _ request: some LimitableRequest, _ facts: RequestFacts, identity: Identity,
        of plan: LimitPlan, match: MatchedRule, on limiter: RequestLimiter
    ) {
        let hasher = limiter.hasher
        let paths = plan.rule.match.paths
        let value: String
        switch dimension.kind {
        case .json:
            inBody.append((dimensions.count, dimension))
            return
        case .client:
            if identity.source == 0 {
                hasher.append(identity.maskedAddress, to: &dimensions)
            } else {
                hasher.append(identity.client, seed: UInt64(identity.source), to: &dimensions)
            }
            return
        case .address(let prefix):
            hasher.append(facts.address.masked(ipv6Prefix: prefix ?? IPAddressRange.defaultPrefix), to: &dimensions)
            return
        case .route:
            value = match.pattern < paths.count ? paths[match.pattern].description : facts.route?.template ?? "*"
        case .path: value = limiter.ignoresCase ? facts.routedPath.asciiLowercased : facts.routedPath
        case .global: value = ""
        case .host: value = facts.host ?? ""
        case .method: value = facts.method
        case .header(let name): value = request.onlyValue(of: name) ?? ""
        case .claim(let name): value = identity.token?.claim(name) ?? ""
        case .parameter(let name):
            // Take the value from the spelling that the pattern matched; from any other, the client could choose its
            // own key.
            let pattern = match.pattern < paths.count ? paths[match.pattern] : nil
            var found = pattern?.value(of: name, in: facts.routedPath) ?? pattern?.value(of: name, in: facts.path)
            for reading in facts.otherReadings where found == nil { found = pattern?.value(of: name, in: reading) }
            // A router's path is as it was sent. Decode the segment: different encodings of one value must be one key.
            value = facts.route?.path == nil ? found ?? "" : RequestPath.decoded(segment: found ?? "")
        }
        hasher.append(value, seed: 0, to: &dimensions)
    }
}

/// A limit's key, of which parts are in the body.
struct BodyKey {
    let rule: Int
    let dimensions: [UInt64]
    let inBody: [(place: Int, dimension: KeyDimension)]

    /// The dimensions with the values in a body.
    func dimensions(with body: ReceivedBody, _ hasher: KeyHasher) -> [UInt64] {
        var all: [UInt64] = []
        var next = 0
        for (place, dimension) in inBody {
            all += dimensions[next..<place]
            next = place
            hasher.append(Self.value(of: dimension, in: body), seed: 0, to: &all)
        }
        return all + dimensions[next...]
    }

    /// The value that is hashed. One that is unknown or can't be relied on is the empty one.
    private static func value(of dimension: KeyDimension, in body: ReceivedBody) -> String {
        guard case .json(let pointer, let known, let ignoresCase) = dimension.kind,
            case .text(let text, _) = BodyValue(pointer, in: body)
        else { return "" }
        let value = ignoresCase ? text.lowercased() : text
        guard let known else { return value }
        let isKnown = known.contains { name in
            if case .text(let other, _) = BodyValue(text: ignoresCase ? name.lowercased() : name) {
                return other == value
            }
            return false
        }
        return isKnown ? value : ""
    }
}

extension IPAddress {
    /// Gives the address's bits, which need no text, and a seed: an IPv4 address is not the IPv6 address of the same
    /// bits.
    func withHashableBytes<Result>(_ body: (UnsafeRawBufferPointer, UInt64) -> Result) -> Result {
        withUnsafeBytes(of: bits) { body($0, isIPv4 ? 0 : 1 << 32) }
    }
}

extension KeyHasher {
    fileprivate func append(_ address: IPAddress, to dimensions: inout [UInt64]) {
        address.withHashableBytes { append($0, seed: $1, to: &dimensions) }
    }

    /// Names a client in logs: a hash of what the policy knows it by.
    func clientHash(of identity: Identity) -> UInt64 {
        if identity.source == 0 { return identity.maskedAddress.withHashableBytes { hash($0, seed: $1) } }
        return hash(identity.client, seed: UInt64(identity.source))
    }
}
