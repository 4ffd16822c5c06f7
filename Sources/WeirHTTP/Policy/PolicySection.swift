/// The keys of a policy, section by section. The parser accepts no others. The JSON Schema for editors lists the same
/// keys, and a test keeps the two in sync.
package struct PolicySection: Sendable {
    /// The name of the section's definition in the JSON Schema.
    package let name: String
    /// The section's name in error messages.
    let what: String
    package let keys: [String]

    private init(_ name: String, _ what: String, _ keys: [String]) {
        self.name = name
        self.what = what
        self.keys = keys
    }

    static let policy = PolicySection(
        "policy", "the policy",
        [
            "listen", "tls", "upstream", "admin", "threads", "store", "on_store_failure", "instances",
            "trusted_proxies",
            "address_header",
            "paths", "body_limit", "gateway", "log", "headers", "cors", "client", "tiers", "access", "exempt", "bypass",
            "limits",
        ])
    static let store = PolicySection("store", "'store'", ["memory"])
    static let memory = PolicySection("memory", "'memory'", ["capacity"])
    static let gateway = PolicySection(
        "gateway", "'gateway'",
        [
            "header_timeout", "idle_timeout", "connect_timeout", "response_timeout", "max_connection_age",
            "drain_timeout",
            "max_header_size", "body_memory", "max_connections", "max_connections_per_address",
            "max_concurrent_streams",
            "max_delayed", "socket_mode",
        ])
    static let admin = PolicySection("admin", "'admin'", ["listen", "hosts"])
    static let cors = PolicySection("cors", "'cors'", ["origins", "credentials"])
    static let tls = PolicySection("tls", "'tls'", ["certificate", "key"])
    static let log = PolicySection("log", "'log'", ["denials_per_second"])
    static let headers = PolicySection(
        "headers", "'headers'", ["ratelimit", "x_ratelimit", "retry_after", "problem", "reset", "names"])
    static let headerNames = PolicySection(
        "headerNames", "'names'", ["ratelimit", "ratelimit_policy", "limit", "remaining", "reset"])
    static let clientSource = PolicySection(
        "clientSource", "a client source", ["header", "from", "known", "bearer", "jwt", "address"])
    static let bearer = PolicySection("bearer", "'bearer'", ["known"])
    static let jwt = PolicySection("jwt", "'jwt'", ["claim", "keys", "issuer", "audience"])
    static let address = PolicySection("address", "'address'", ["ipv6_prefix"])
    static let lookup = PolicySection("lookup", "a lookup", ["file", "redis_hash", "field"])
    static let tiers = PolicySection("tiers", "'tiers'", ["source", "default"])
    static let tierSource = PolicySection("tierSource", "'source'", ["header", "file", "redis_hash", "field", "jwt"])
    static let access = PolicySection("access", "an access rule", ["match", "tier", "deny"])
    static let match = PolicySection(
        "match", "'match'", ["method", "host", "path", "header", "tier", "address", "json"])
    static let bypass = PolicySection("bypass", "'bypass'", ["header", "secret"])
    static let secret = PolicySection("secret", "'secret'", ["env", "file"])
    static let limit = PolicySection(
        "limit", "a limit",
        [
            "name", "match", "key", "algorithm", "rate", "burst", "limit", "align", "max_wait", "cost", "warm_up",
            "mode", "count_denied", "on_store_failure", "sync",
        ])
    static let keyDimension = PolicySection(
        "keyDimension", "a key dimension", ["header", "jwt", "param", "address", "json", "known", "ignore_case"])
    static let reserve = PolicySection(
        "reserve", "'reserve'", ["header", "query", "json_length", "json_items", "json", "default"])
    static let cost = PolicySection(
        "cost", "'cost'",
        ["header", "query", "json_length", "json_items", "json", "response", "default", "max", "reserve", "errors"])
    static let response = PolicySection("response", "'response'", ["status", "header", "json", "sum", "default"])
    static let costPart = PolicySection("costPart", "a part of 'sum'", ["json", "weight"])
    static let warmUp = PolicySection("warmUp", "'warm_up'", ["factor", "until", "after"])
    static let until = PolicySection("until", "'until'", ["path"])

    package static let all = [
        policy, admin, cors, tls, store, memory, gateway, log, headers, headerNames, clientSource, jwt, address, lookup,
        bearer, tiers,
        tierSource,
        access, match, bypass, secret, limit, keyDimension, cost, reserve, response, costPart, warmUp, until,
    ]
}
