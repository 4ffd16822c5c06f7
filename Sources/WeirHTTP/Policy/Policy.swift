public import Weir

/// What a `weir.yaml` says, as plain values. ``Policy/read(_:file:environment:)`` makes it from a file.
public struct Policy: Sendable {
    public var server = ServerSettings()
    public var log = LogSettings()
    public var headers = HeaderSettings()
    /// Peers whose word about the client is taken.
    public var trustedProxies: [AddressRange] = []
    public var addressHeader = AddressHeader.xForwardedFor
    /// Whether encoded slashes, backslashes, NULs and double encodings pass, kept as they are, instead of getting 400.
    public var lenientPaths = false
    /// The longest request or response body that a cost is read from, in bytes.
    public var bodyLimit = 1 << 20
    /// Who is asking: the first source that is present and known wins; the address comes last.
    public var client: [ClientSource] = []
    public var tiers: TierRules?
    public var access: [AccessRule] = []
    public var exempt: [Match] = []
    public var bypass: Bypass?
    public var limits: [LimitRule] = []
    /// The files that the policy was read from, watched for changes.
    public var files: [String] = []

    public init() {}
}

/// Where the gateway listens and how long it waits. Times are microseconds.
public struct ServerSettings: Sendable, Hashable {
    public var listen = "127.0.0.1:8080"
    public var upstream: String?
    public var admin: String? = "127.0.0.1:9090"
    /// Event loops; nil for as many as there are cores.
    public var threads: Int?
    public var store = StoreSetting.memory(capacity: nil)
    public var onStoreFailure = StoreFailureMode.local
    /// How many instances share the store, for `on_store_failure: local`; nil to ask the store.
    public var instances: Int?
    public var headerTimeout: Timestamp = 10_000_000
    public var idleTimeout: Timestamp = 75_000_000
    public var connectTimeout: Timestamp = 5_000_000
    public var responseTimeout: Timestamp = 60_000_000
    public var drainTimeout: Timestamp = 30_000_000
    public var maxHeaderSize = 32 * 1024
    public var maxConnections = 10_000
    public var maxConnectionsPerAddress = 1000
    public var maxDelayed = 10_000

    public init() {}
}

/// What a server logs.
public struct LogSettings: Sendable, Hashable {
    /// How many denials of one limit are logged in a second, 0 to 1,000,000; the rest are counted.
    public var denialsPerSecond = 100

    public init() {}
}

public enum StoreSetting: Sendable, Hashable {
    case memory(capacity: Int?)
    /// `redis://…` and its kin.
    case shared(url: String)
}

public enum StoreFailureMode: Sendable, Hashable {
    case allow, deny, local
}

/// What a client is told. Names are those sent.
public struct HeaderSettings: Sendable, Hashable {
    /// `RateLimit-Policy` and `RateLimit`, of draft-ietf-httpapi-ratelimit-headers.
    public var rateLimit = true
    /// `X-RateLimit-Limit`, `-Remaining` and `-Reset`.
    public var xRateLimit = true
    public var retryAfter = true
    /// Whether answers of Weir's own carry `application/problem+json`; else an empty body.
    public var problem = true
    /// Whether `X-RateLimit-Reset` is in seconds from now, not Unix seconds.
    public var resetIsDelta = false
    public var rateLimitName = "RateLimit"
    public var rateLimitPolicyName = "RateLimit-Policy"
    public var limitName = "X-RateLimit-Limit"
    public var remainingName = "X-RateLimit-Remaining"
    public var resetName = "X-RateLimit-Reset"

    public init() {}

    package func name(of header: LimitHeader) -> String {
        switch header {
        case .rateLimitPolicy: rateLimitPolicyName
        case .rateLimit: rateLimitName
        case .limit: limitName
        case .remaining: remainingName
        case .reset: resetName
        case .retryAfter: "Retry-After"
        }
    }

    /// The names of the headers that are written on every limited response.
    package var names: [String] { LimitHeader.allCases.filter(writesAlways).map(name) }

    /// Whether a header is written on every limited response; Retry-After is the handler's own when nothing is denied.
    package func writesAlways(_ header: LimitHeader) -> Bool {
        switch header {
        case .rateLimitPolicy, .rateLimit: rateLimit
        case .limit, .remaining, .reset: xRateLimit
        case .retryAfter: false
        }
    }
}

/// A header about limits.
package enum LimitHeader: Int, CaseIterable {
    case rateLimitPolicy, rateLimit, limit, remaining, reset, retryAfter
}

/// The one header from which forwarded addresses are taken.
public enum AddressHeader: String, Sendable, Hashable {
    case xForwardedFor = "X-Forwarded-For"
    case forwarded = "Forwarded"
}

/// One way to tell who is asking.
public enum ClientSource: Sendable {
    /// A header's value. From others than trusted proxies it is ignored when `fromTrustedProxies`.
    case header(String, fromTrustedProxies: Bool, known: KnownClients?)
    case jwt(claim: String)
    case address(ipv6Prefix: Int)
}

/// Where a policy's known clients stand.
public enum KnownClients: Sendable {
    case file(Directory)
    case hash(HashLookup)
}

/// A file of known clients, one on a line, each with its tier if it has one.
public struct Directory: Sendable {
    public var file: String
    /// Each client's tier.
    public var clients: [String: String?]

    /// A client's entry, by the very bytes of its name. `String` calls different spellings of a character equal, which
    /// would make several clients, each with a budget, out of one key.
    func entry(_ client: String) -> (name: String, tier: String?)? {
        guard let index = clients.index(forKey: client), clients[index].key.utf8.elementsEqual(client.utf8) else {
            return nil
        }
        return (clients[index].key, clients[index].value)
    }
}

public struct TierRules: Sendable {
    public enum Source: Sendable {
        /// A header, believed from trusted proxies only.
        case header(String)
        case directory(Directory)
        case hash(HashLookup)
        case jwt(claim: String)
    }

    public var source: Source?
    /// The tier of whoever has none.
    public var fallback: String

    public init(source: Source? = nil, fallback: String) {
        self.source = source
        self.fallback = fallback
    }
}

/// How tokens are verified.
public struct TokenSettings: Sendable, Hashable {
    /// A JSON Web Key Set (RFC 7517).
    public var keysFile: String
    public var issuer: String?
    public var audience: String?
}

public struct AccessRule: Sendable {
    public var match: Match
    /// Who may pass; others get 403. Nil when nobody may.
    public var tiers: [String]?

    public init(_ match: Match, tiers: [String]? = nil) {
        self.match = match
        self.tiers = tiers
    }
}

public struct Bypass: Sendable {
    public var header: String
    /// At least 16 characters.
    public var secret: String

    public init(header: String, secret: String) {
        self.header = header
        self.secret = secret
    }
}

/// Which requests a rule is about: those that meet every condition. Empty conditions always hold.
public struct Match: Sendable {
    /// In upper case, whatever they are set to; HEAD counts as GET.
    public var methods: [String] = [] {
        didSet { methods = methods.map { $0.uppercased() == "HEAD" ? "GET" : $0.uppercased() } }
    }
    /// In lower case, whatever they are set to; without a port.
    public var hosts: [String] = [] {
        didSet { hosts = hosts.map { $0.lowercased() } }
    }
    public var paths: [PathPattern] = []
    public var headers: [(name: String, value: String?)] = []
    public var tiers: [String] = []
    public var addresses: [AddressRange] = []

    public init() {}

    /// Whether no condition is there.
    var isEverything: Bool {
        methods.isEmpty && hosts.isEmpty && paths.isEmpty && headers.isEmpty && tiers.isEmpty && addresses.isEmpty
    }

    /// - Parameters:
    ///   - methods: such as `GET`, which HEAD counts as; any if none is given.
    ///   - paths: as in a policy file: exact, with a `*` at its end, with `{name}` for a segment.
    /// - Throws: ``PolicyError`` when one of them isn't a path.
    public init(_ methods: String..., paths: String...) throws(PolicyError) {
        self.methods = methods.map { $0.uppercased() == "HEAD" ? "GET" : $0.uppercased() }
        for path in paths {
            do {
                self.paths.append(try PathPattern(path))
            } catch {
                throw PolicyError(error.description)
            }
        }
    }
}

/// Numbers that may differ by tier.
public enum ByTier<Value: Sendable>: Sendable {
    case all(Value)
    case each([String: Value])

    func value(for tier: String?, fallback: String?) -> Value? {
        switch self {
        case .all(let value): value
        case .each(let values): tier.flatMap { values[$0] } ?? fallback.flatMap { values[$0] }
        }
    }

    var values: [Value] {
        switch self {
        case .all(let value): [value]
        case .each(let values): Array(values.values)
        }
    }
}

public struct LimitRule: Sendable {
    /// Its numbers in one tier.
    public enum Allowance: Sendable {
        case unlimited
        /// The windows of a rate.
        case rates([Rate])
        case concurrency(Int64)
    }

    public var name: String
    public var match = Match()
    public var key: [KeyDimension] = [.client]
    public var algorithm = Algorithm.tokenBucket
    public var allowance: ByTier<Allowance>
    public var alignment = WindowAlignment.epoch
    public var maxWait = Limit.defaultWait
    public var cost = CostRule.fixed(1)
    public var warmUp: WarmUpRule?
    public var isShadow = false
    public var countsDenied = false
    /// Whether instances that share a store may borrow units of it and spend them on their own.
    public var isLeased = false
    public var onStoreFailure: StoreFailureMode?

    public init(name: String, allowance: ByTier<Allowance>) {
        self.name = name
        self.allowance = allowance
    }
}

/// One part of what a budget is kept for.
public enum KeyDimension: Sendable, Hashable {
    case client
    /// The client's address; nil for the policy's own prefix.
    case address(ipv6Prefix: Int?)
    /// The path pattern that matched.
    case route
    case path
    case global
    case host
    case method
    case header(String)
    case claim(String)
    case parameter(String)

    var text: String {
        switch self {
        case .client: "client"
        case .address(let prefix): "address/\(prefix.map(String.init) ?? "")"
        case .route: "route"
        case .path: "path"
        case .global: "global"
        case .host: "host"
        case .method: "method"
        case .header(let name): "header:\(name.lowercased())"
        case .claim(let name): "jwt:\(name)"
        case .parameter(let name): "param:\(name)"
        }
    }
}

/// What a request costs.
public enum CostRule: Sendable {
    case fixed(Int64)
    case request(RequestCost, fallback: Int64, max: Int64?)
    case response(ResponseCost, reserve: Int64, fallback: Int64, max: Int64?)

    public enum RequestCost: Sendable, Hashable {
        case header(String)
        case query(String)
        case jsonLength(JSONPointer)
        case json(JSONPointer)

        var needsBody: Bool {
            switch self {
            case .header, .query: false
            case .json, .jsonLength: true
            }
        }
    }

    public enum ResponseCost: Sendable, Hashable {
        case status([Int: Int64])
        case header(String)
        /// A pointer into a JSON body, or into the last server-sent event that has it.
        case json(JSONPointer)
    }
}

public struct WarmUpRule: Sendable {
    public enum Until: Sendable, Hashable {
        /// So many microseconds after the start.
        case after(Timestamp)
        /// Until the upstream answers 2xx at this path.
        case ready(path: String)
    }

    public var numerator: Int64
    public var denominator: Int64
    public var until: Until

    /// - Parameters:
    ///   - numerator: of the factor, at least 1.
    ///   - denominator: of the factor, at least the numerator.
    ///   - until: when the limit is whole.
    public init(_ numerator: Int64, over denominator: Int64, until: Until) {
        self.numerator = max(1, numerator)
        self.denominator = max(self.numerator, denominator)
        self.until = until
    }
}
