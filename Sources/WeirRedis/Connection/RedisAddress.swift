import NIOCore
import Weir

/// Where a store is, parsed from a URL; see ``RedisConfiguration/init(url:)``.
struct RedisAddress: Sendable, CustomStringConvertible {
    enum Deployment: Sendable, Hashable {
        case single
        case cluster
        case sentinel(master: String)
    }

    struct Endpoint: Sendable, Hashable, CustomStringConvertible {
        var host: String
        var port: Int
        var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
    }

    let deployment: Deployment
    let endpoints: [Endpoint]
    let user: String?
    let password: String?
    let database: Int
    let usesTLS: Bool
    /// The certificate authority to trust, as a PEM file; nil for those that the system trusts.
    let caFile: String?
    /// The client's certificate and its key, as PEM files; nil for none.
    let clientCertificate: (certificate: String, key: String)?
    /// The password of sentinels; nil for none.
    let sentinelPassword: String?

    /// Parses a URL.
    ///
    /// - Throws: ``RedisConfigurationError`` when the URL is malformed or contradicts itself.
    init(_ url: String) throws(RedisConfigurationError) {
        guard let colon = url.firstRange(of: "://") else {
            throw RedisConfigurationError(.scheme, "the store must be a URL such as redis://127.0.0.1:6379")
        }
        // Valkey speaks Redis' protocol, and `valkey://` means the same.
        let written = url[..<colon.lowerBound]
        let scheme = written.hasPrefix("valkey") ? "redis" + written.dropFirst("valkey".count) : String(written)
        usesTLS = scheme.hasPrefix("rediss")
        var rest = url[colon.upperBound...]
        (user, password) = try Self.takeUserAndPassword(&rest)
        guard !rest.contains("@") else {
            throw RedisConfigurationError(
                .userInfo, "a '/' in the store's user or password must be written as %2F, and an '@' as %40")
        }
        let authority = rest.prefix { $0 != "/" && $0 != "?" }
        rest = rest.dropFirst(authority.count)
        let path = rest.drop { $0 == "/" }.prefix { $0 != "?" }
        let options = try Self.options(rest.drop { $0 != "?" }.dropFirst())
        caFile = options["ca"]
        sentinelPassword = options["sentinel_password"]
        switch (options["cert"], options["key"]) {
        case (nil, nil): clientCertificate = nil
        case (let certificate?, let key?): clientCertificate = (certificate, key)
        default:
            throw RedisConfigurationError(.query, "'cert' and 'key' in the store's URL need each other")
        }
        let sentinelPort = scheme.hasSuffix("+sentinel") ? 26379 : 6379
        var endpoints: [Endpoint] = []
        for part in authority.split(separator: ",", omittingEmptySubsequences: false) {
            guard let endpoint = Self.endpoint(part, defaultPort: sentinelPort) else {
                // What follows a colon may be a password whose host was forgotten.
                throw RedisConfigurationError(
                    .host, "'\(part.prefix { $0 != ":" })' in the store's URL is not a host with an optional port")
            }
            endpoints.append(endpoint)
        }
        self.endpoints = endpoints
        switch scheme {
        case "redis", "rediss": deployment = .single
        case "redis+cluster", "rediss+cluster": deployment = .cluster
        case "redis+sentinel", "rediss+sentinel":
            guard !path.isEmpty else {
                throw RedisConfigurationError(
                    .path, "the store's URL needs the master's name: redis+sentinel://host:26379/mymaster")
            }
            deployment = .sentinel(master: String(path))
            database = 0
            return
        default: throw RedisConfigurationError(.scheme, "the store's URL has an unknown scheme, '\(written)://'")
        }
        guard endpoints.count == 1 || deployment == .cluster else {
            throw RedisConfigurationError(
                .host, "a store's URL with several hosts must begin with redis+cluster:// or redis+sentinel://")
        }
        guard path.isEmpty || Int(path).map({ (0...65535).contains($0) }) == true else {
            throw RedisConfigurationError(
                .path, "the store's URL ends with '/\(path)', which is not a database number (0 to 65535)")
        }
        database = Int(path) ?? 0
        guard deployment == .single || database == 0 else {
            throw RedisConfigurationError(.path, "a cluster only has database 0")
        }
    }

    /// The URL without user and password.
    var description: String {
        let name =
            switch deployment {
            case .single: "redis"
            case .cluster: "redis+cluster"
            case .sentinel: "redis+sentinel"
            }
        let hosts = endpoints.map(\.description).joined(separator: ",")
        if case .sentinel(let master) = deployment { return "\(name)://\(hosts)/\(master)" }
        return "\(usesTLS ? name.replacingScheme : name)://\(hosts)\(database == 0 ? "" : "/\(database)")"
    }

    /// Removes `user:password@` from the front of an authority.
    private static func takeUserAndPassword(
        _ rest: inout Substring
    ) throws(RedisConfigurationError) -> (user: String?, password: String?) {
        guard let at = rest.prefix(while: { $0 != "/" }).lastIndex(of: "@") else { return (nil, nil) }
        let userinfo = rest[..<at]
        rest = rest[rest.index(after: at)...]
        let user = userinfo.prefix { $0 != ":" }
        let password = userinfo.dropFirst(user.count).dropFirst()
        return (user.isEmpty ? nil : try decode(user), password.isEmpty ? nil : try decode(password))
    }

    /// Reads the options after `?`.
    private static func options(_ query: Substring) throws(RedisConfigurationError) -> [String: String] {
        var options: [String: String] = [:]
        for part in query.split(separator: "&") {
            let name = String(part.prefix { $0 != "=" })
            let value = part.dropFirst(name.count + 1)
            guard ["ca", "cert", "key", "sentinel_password"].contains(name), !value.isEmpty else {
                throw RedisConfigurationError(
                    .query,
                    "the store's URL may only have ca=FILE, cert=FILE, key=FILE and sentinel_password=… after '?'")
            }
            options[name] = try decode(value)
        }
        return options
    }

    /// Decodes percent-encoding.
    private static func decode(_ text: Substring) throws(RedisConfigurationError) -> String {
        var bytes: [UInt8] = []
        var rest = Array(text.utf8)[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            let digits = String(decoding: rest.prefix(2), as: UTF8.self)
            guard digits.utf8.count == 2, let value = UInt8(digits, radix: 16) else {
                throw RedisConfigurationError(.userInfo, "a '%' in the store's URL must be written as %25")
            }
            bytes.append(value)
            rest = rest.dropFirst(2)
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    private static func endpoint(_ text: Substring, defaultPort: Int) -> Endpoint? {
        var host = text
        var port = defaultPort
        if text.hasPrefix("[") {
            guard let close = text.firstIndex(of: "]") else { return nil }
            host = text[text.index(after: text.startIndex)..<close]
            let rest = text[text.index(after: close)...]
            if !rest.isEmpty {
                guard rest.hasPrefix(":"), let number = Int(rest.dropFirst()) else { return nil }
                port = number
            }
        } else if let colon = text.lastIndex(of: ":") {
            host = text[..<colon]
            guard let number = Int(text[text.index(after: colon)...]), !host.contains(":") else { return nil }
            port = number
        }
        guard !host.isEmpty, (1...65535).contains(port), host.allSatisfy({ !$0.isWhitespace }) else { return nil }
        return Endpoint(host: String(host), port: port)
    }
}

extension String {
    /// `redis` → `rediss`.
    fileprivate var replacingScheme: String { "rediss" + dropFirst("redis".count) }
}
