import Weir

/// Identifies the client behind a request.
struct ClientIdentifier: Sendable {
    let addresses: ClientAddress
    private let sources: [ClientSource]
    private let tiers: TierRules?
    private let verifier: (any TokenVerifier)?
    private let lookup: (any ClientDirectory)?
    private let needsToken: Bool

    /// The longest name of a client, in bytes. A source with a longer value is skipped.
    static let longestValue = 4096
    /// The longest value of `Authorization` from which a token is taken, in bytes.
    static let longestToken = 16_384

    /// The answer of a ``ClientDirectory`` that isn't there yet.
    typealias Pending = PendingAnswer<Result<LookupAnswer, StoreError>>

    /// A lookup in progress, and the part of the policy that needs it.
    struct Lookup {
        enum Place: Equatable {
            /// The client source with this index.
            case source(Int)
            case tier
        }

        var place: Place
        var answer: Pending
    }

    init(_ policy: Policy, verifier: (any TokenVerifier)?, lookup: (any ClientDirectory)?) {
        self.lookup = lookup
        addresses = ClientAddress(trusted: policy.trustedProxies, header: policy.addressHeader)
        sources = policy.clientSources
        tiers = policy.tiers
        self.verifier = verifier
        needsToken = verifier != nil && policy.usesTokens
    }

    /// The ``Identity/source`` of a client that the app has identified. It is larger than that of any source in a
    /// policy.
    private static let app = 1 << 20

    /// Finds the client and its tier.
    ///
    /// - Parameters:
    ///   - client: the client that the app has identified. It takes precedence over the policy's sources.
    ///   - tier: the client's tier. It takes precedence over the tiers of `client` and the policy.
    ///   - pending: set if a lookup must be awaited. Then pass its answer to ``resume(_:from:with:_:tier:pending:)``.
    func identify(
        _ request: some LimitableRequest, peer: IPAddress, client: AppClient? = nil, tier: String? = nil,
        pending: inout Lookup?
    ) -> Identity {
        let address = addresses.client(of: request, peer: peer)
        var identity = Identity(
            address: address, isFromTrustedProxy: addresses.isTrusted(peer), source: 0, client: "",
            maskedAddress: address, tier: nil, token: nil)
        if needsToken, let verifier, let token = bearerToken(request) { identity.token = verifier.verify(token) }
        if let client, !client.id.isEmpty, client.id.utf8.count <= Self.longestValue {
            identity.source = Self.app
            identity.client = client.id
        } else {
            name(&identity, request, pending: &pending)
        }
        if pending == nil { identity.tier = self.tier(of: identity, request, given: tier ?? client?.tier, &pending) }
        return identity
    }

    /// Continues after a lookup.
    ///
    /// - Parameters:
    ///   - identity: the incomplete identity, which is completed.
    ///   - place: the part of the policy that needed the lookup.
    ///   - answer: the lookup's answer.
    ///   - tier: the client's tier. It takes precedence over the policy's.
    ///   - pending: set if one more lookup must be awaited.
    func resume(
        _ identity: inout Identity, from place: Lookup.Place, with answer: LookupAnswer,
        _ request: some LimitableRequest, tier: String?, pending: inout Lookup?
    ) {
        switch place {
        case .source(let index):
            name(&identity, request, from: index, with: answer, pending: &pending)
            if pending == nil { identity.tier = self.tier(of: identity, request, given: tier, &pending) }
        case .tier: identity.tier = answer.value ?? tiers?.default
        }
    }

    /// Looks a client up in a hash. Returns nil and sets `pending` if the answer must be awaited.
    private func look(
        up client: String, in hash: HashLookup, of identity: Identity, for place: Lookup.Place,
        pending: inout Lookup?
    ) -> LookupAnswer? {
        guard let lookup else { return .unknown }
        let bits = identity.address.masked(ipv6Prefix: IPAddressRange.defaultPrefix).bits
        switch lookup.lookUp(client, in: hash, for: UInt64(truncatingIfNeeded: bits ^ bits >> 64)).kind {
        case .decided(let answer): return answer
        case .pending(let answer):
            pending = Lookup(place: place, answer: answer)
            return nil
        }
    }

    /// Takes the client's name from the first of the policy's sources that is present and known.
    ///
    /// - Parameters:
    ///   - start: the index of the first source to try.
    ///   - answer: the answer of the lookup for that source, if it was awaited.
    private func name(
        _ identity: inout Identity, _ request: some LimitableRequest, from start: Int = 0,
        with answer: LookupAnswer? = nil, pending: inout Lookup?
    ) {
        var prefix = IPAddressRange.defaultPrefix
        search: for (index, source) in sources.enumerated() where index >= start {
            let found: String?
            var known: KnownClients.Kind?
            switch source.kind {
            case .header(let header, let fromTrustedProxies, let clients):
                found = fromTrustedProxies && !identity.isFromTrustedProxy ? nil : request.onlyValue(of: header)
                known = clients
            case .bearer(let clients):
                found = bearerToken(request)
                known = clients
            case .jwt(let claim): found = identity.token?.claim(claim)
            case .address(let ipv6Prefix):
                prefix = ipv6Prefix
                break search
            }
            guard let value = found, !value.isEmpty, value.utf8.count <= Self.longestValue else { continue }
            let answered = index == start ? answer : nil
            guard let isKnown = self.isKnown(value, known, of: identity, source: index, answered, &pending) else {
                return
            }
            if !isKnown { continue }
            identity.source = index + 1
            identity.client = value
            return
        }
        identity.maskedAddress = identity.address.masked(ipv6Prefix: prefix)
    }

    /// Whether a client is known; nil if the answer must be awaited.
    ///
    /// - Parameter answer: the answer that was awaited, if it was.
    private func isKnown(
        _ client: String, _ known: KnownClients.Kind?, of identity: Identity, source: Int, _ answer: LookupAnswer?,
        _ pending: inout Lookup?
    ) -> Bool? {
        switch known {
        case .file(let directory): directory.entry(client) != nil
        case .hash(let hash):
            (answer ?? look(up: client, in: hash, of: identity, for: .source(source), pending: &pending))?.isKnown
        case nil: true
        }
    }

    private func tier(
        of identity: Identity, _ request: some LimitableRequest, given: String?, _ pending: inout Lookup?
    ) -> String? {
        if let given { return given }
        guard let tiers else { return nil }
        let found: String? =
            switch tiers.source?.kind {
            case .header(let name): identity.isFromTrustedProxy ? request.onlyValue(of: name) : nil
            case .file(let directory): identity.source > 0 ? directory.entry(identity.client)?.tier : nil
            case .hash(let hash):
                identity.source > 0
                    ? look(up: identity.client, in: hash, of: identity, for: .tier, pending: &pending)?.value : nil
            case .jwt(let claim): identity.token?.claim(claim)
            case nil: nil
            }
        return found ?? tiers.default
    }

    /// The token of `Authorization: Bearer …` (RFC 6750, 2.1).
    private func bearerToken(_ request: some LimitableRequest) -> String? {
        guard let value = request.onlyValue(of: "Authorization"), value.utf8.count <= Self.longestToken else {
            return nil
        }
        let parts = value.split(separator: " ", maxSplits: 1)
        guard parts.count == 2, parts[0].lowercased() == "bearer" else { return nil }
        return parts[1].trimmingSpaces()
    }
}

extension Policy {
    /// Whether the policy looks up clients or tiers in Redis hashes.
    package var usesLookups: Bool {
        if case .hash? = tiers?.source?.kind { return true }
        return clientSources.contains { source in
            switch source.kind {
            case .header(_, _, .hash?), .bearer(.hash?): true
            default: false
            }
        }
    }

    /// Whether the policy uses claims of tokens.
    package var usesTokens: Bool {
        clientSources.contains { if case .jwt = $0.kind { true } else { false } }
            || limits.contains { $0.key.contains { if case .claim = $0.kind { true } else { false } } }
            || { if case .jwt? = tiers?.source?.kind { true } else { false } }()
    }
}
