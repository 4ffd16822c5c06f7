import Weir
import Yams

extension PolicyReader {
    func readGateway(_ top: PolicyMapping, _ policy: inout Policy) {
        readAddresses(top, &policy.gateway)
        policy.gatewayKeys = ["listen", "tls", "admin", "upstream", "threads"].filter { top.values[$0] != nil }
        if let node = top["store"] { policy.store = store(node) ?? policy.store }
        policy.onStoreFailure = top.choice("on_store_failure", PolicyReader.failureModes) ?? policy.onStoreFailure
        policy.instances = top.integer("instances", in: 1...100_000).map(Int.init)
        guard let gateway = top.mapping("gateway", .gateway) else { return }
        readTimesAndSizes(gateway, &policy.gateway)
        policy.gatewayKeys += gateway.values.keys.sorted().filter { !["body_memory", "max_delayed"].contains($0) }
            .map { "gateway: \($0)" }
        if let size = gateway.size("body_memory", in: 1...(1 << 40)) { policy.bodyMemory = Int(size) }
        if let number = gateway.integer("max_delayed", in: Self.counts) { policy.maxDelayed = Int(number) }
    }

    private func readAddresses(_ top: PolicyMapping, _ server: inout GatewaySettings) {
        if let node = top["listen"] { server.listen = listeners(node) ?? server.listen }
        if let node = top["tls"] { server.tls = document.list(node).compactMap { certificateFiles($0) } }
        if server.tls.isEmpty, let address = server.listen.first(where: \.needsCertificate) {
            top.error(
                "'\(address)' needs a certificate; set 'tls' to {certificate: cert.pem, key: key.pem}", at: "listen")
        }
        if let node = top["admin"] {
            readAdmin(node, &server)
            if let admin = server.admin.flatMap({ SocketText($0) }), admin.port != 0,
                server.listen.contains(where: {
                    $0.place == .host(admin) || $0.place == .allInterfaces(port: admin.port)
                })
            {
                document.error("'admin' and 'listen' can't have the same address and port", at: places.admin)
            }
        }
        if let node = top["upstream"], let text = document.text(node, "'upstream'") {
            if text.hasPrefix("https://") {
                document.error(
                    "TLS to the upstream is not supported yet; use http:// over loopback or a private network",
                    at: node.place)
            } else if Upstream(text) == nil {
                document.error("'upstream' must be a URL such as http://127.0.0.1:8000, not '\(text)'", at: node.place)
            }
            server.upstream = text
        }
        server.threads = top.integer("threads", in: 1...1024).map(Int.init)
    }

    private func readAdmin(_ node: Node, _ server: inout GatewaySettings) {
        var address = node
        if case .mapping = node {
            guard let admin = document.mapping(node, .admin) else { return }
            for host in admin.texts("hosts") ?? [] {
                if SocketText(host, defaultPort: 80)?.host == host {
                    server.adminHosts.append(host.lowercased())
                } else {
                    admin.error("'\(host)' is not a host name; leave the port away", at: "hosts")
                }
            }
            guard let listen = admin["listen"] else { return }
            address = listen
        }
        if let text = document.text(address, "'admin'"), text == "off" || text == "false" {
            server.admin = nil
        } else {
            server.admin = hostAndPort(address, "'admin'") ?? server.admin
        }
        places.admin = address.place
    }

    private static let counts: ClosedRange<Int64> = 1...10_000_000

    static var failureModes: KeyValuePairs<String, StoreFailureMode> {
        ["allow": .allow, "deny": .deny, "local": .local]
    }

    private func readTimesAndSizes(_ gateway: PolicyMapping, _ server: inout GatewaySettings) {
        let times: ClosedRange<Timestamp> = 1000...86_400_000_000
        server.headerTimeout = gateway.duration("header_timeout", in: times) ?? server.headerTimeout
        server.idleTimeout = gateway.duration("idle_timeout", in: times) ?? server.idleTimeout
        server.connectTimeout = gateway.duration("connect_timeout", in: times) ?? server.connectTimeout
        server.responseTimeout = gateway.duration("response_timeout", in: times) ?? server.responseTimeout
        server.maxConnectionAge = gateway.duration("max_connection_age", in: times) ?? server.maxConnectionAge
        server.drainTimeout = gateway.duration("drain_timeout", in: times) ?? server.drainTimeout
        func count(_ key: String, _ value: inout Int) {
            if let number = gateway.integer(key, in: Self.counts) { value = Int(number) }
        }
        if let size = gateway.size("max_header_size", in: Self.counts) { server.maxHeaderSize = Int(size) }
        count("max_connections", &server.maxConnections)
        count("max_connections_per_address", &server.maxConnectionsPerAddress)
        if let number = gateway.integer("max_concurrent_streams", in: 1...10_000) {
            server.maxConcurrentStreams = Int(number)
        }
        server.socketMode = socketMode(gateway) ?? server.socketMode
    }

    private func socketMode(_ gateway: PolicyMapping) -> Int? {
        guard let text = gateway.text("socket_mode") else { return nil }
        guard (3...4).contains(text.utf8.count), let mode = Int(text, radix: 8), (0...0o777).contains(mode) else {
            gateway.error(
                "'socket_mode' must be a file mode in octal such as 0660, not '\(text)'", at: "socket_mode")
            return nil
        }
        return mode
    }

    private func listeners(_ node: Node) -> [ListenAddress]? {
        places.listen = node.place
        let nodes = document.list(node)
        if nodes.isEmpty { document.error("'listen' is an empty list; it needs an address", at: node.place) }
        var addresses: [ListenAddress] = []
        for node in nodes {
            guard let text = document.text(node, "'listen'") else { continue }
            guard let address = ListenAddress(text) else {
                document.error("'listen' must be \(ListenAddress.expectation), not '\(text)'", at: node.place)
                continue
            }
            if addresses.contains(where: { $0.place == address.place }) {
                document.error("'listen' has the address '\(text)' twice", at: node.place)
            }
            addresses.append(address)
        }
        return addresses.isEmpty ? nil : addresses
    }

    private func certificateFiles(_ node: Node) -> CertificateFiles? {
        guard let mapping = document.mapping(node, .tls) else { return nil }
        guard let certificate = mapping.text("certificate"), let key = mapping.text("key") else {
            mapping.error("'tls' needs 'certificate' and 'key', the paths of two PEM files")
            return nil
        }
        let files = CertificateFiles(certificate: resolve(certificate), key: resolve(key))
        for file in [files.certificate, files.key] where !self.files.contains(file) { self.files.append(file) }
        places.certificates.append(node.place)
        return files
    }

    private func hostAndPort(_ node: Node, _ what: String) -> String? {
        guard let text = document.text(node, what) else { return nil }
        if SocketText(text) != nil { return text }
        document.error("\(what) must be an address and a port such as 127.0.0.1:8080, not '\(text)'", at: node.place)
        return nil
    }

    private func store(_ node: Node) -> StoreSetting? {
        if case .mapping = node {
            guard let memory = document.mapping(node, .store)?.mapping("memory", .memory) else { return nil }
            return .memory(capacity: memory.integer("capacity", in: 1...1_000_000_000).map(Int.init))
        }
        guard let text = document.text(node, "'store'") else { return nil }
        if text == "memory" { return .memory(capacity: nil) }
        let kinds = ["", "+cluster", "+sentinel"]
        let schemes = ["redis", "rediss", "valkey", "valkeys"].flatMap { name in kinds.map { "\(name)\($0)://" } }
        guard let scheme = schemes.first(where: { text.hasPrefix($0) }) else {
            document.error("'store' must be memory or a URL such as redis://127.0.0.1:6379", at: node.place)
            return nil
        }
        if let written = node.scalar?.string, let secret = written.firstRange(of: "sentinel_password="),
            !written[secret.upperBound...].hasPrefix("${")
        {
            document.error(
                "a password must not stand in the policy; write sentinel_password=${SENTINEL_PASSWORD} and set that variable",
                at: node.place)
            return nil
        }
        // Refuse a password only when the file itself contains it; one from the environment is fine.
        if let written = node.scalar?.string, let at = written.lastIndex(of: "@"),
            let colon = written[..<at].dropFirst(scheme.count).firstIndex(of: ":"),
            !(written[written.index(after: colon)..<at].hasPrefix("${") && written[..<at].hasSuffix("}"))
        {
            document.error(
                "a password must not stand in the policy; write it as ${REDIS_PASSWORD} and set that variable",
                at: node.place)
            return nil
        }
        return .shared(url: text)
    }

    func readCrossOrigin(_ cors: PolicyMapping) -> CrossOriginSettings {
        var settings = CrossOriginSettings()
        for origin in cors.texts("origins") ?? [] {
            let isOrigin = ["http://", "https://"].contains { scheme in
                origin.hasPrefix(scheme) && !origin.dropFirst(scheme.count).isEmpty
                    && !origin.dropFirst(scheme.count).contains { "/ *,".contains($0) }
            }
            if isOrigin {
                settings.origins.append(origin.lowercased())
            } else {
                cors.error("'\(origin)' is not an origin such as https://app.example.com", at: "origins")
            }
        }
        if settings.origins.isEmpty { cors.error("'cors' needs 'origins', a list such as [https://app.example.com]") }
        settings.credentials = cors.boolean("credentials") ?? false
        return settings
    }

    func readHeaders(_ headers: PolicyMapping, _ settings: inout HeaderSettings) {
        settings.sendsRateLimit = headers.boolean("ratelimit") ?? settings.sendsRateLimit
        settings.sendsXRateLimit = headers.boolean("x_ratelimit") ?? settings.sendsXRateLimit
        settings.sendsRetryAfter = headers.boolean("retry_after") ?? settings.sendsRetryAfter
        settings.sendsProblemDetails = headers.boolean("problem") ?? settings.sendsProblemDetails
        let formats: KeyValuePairs<String, HeaderSettings.ResetFormat> = ["unix": .unixTime, "delta": .delta]
        settings.resetFormat = headers.choice("reset", formats) ?? settings.resetFormat
        guard let names = headers.mapping("names", .headerNames) else { return }
        func name(_ key: String, _ value: inout String) {
            if let node = names[key], let text = fieldName(node, "'\(key)'") { value = text }
        }
        name("ratelimit", &settings.rateLimitName)
        name("ratelimit_policy", &settings.rateLimitPolicyName)
        name("limit", &settings.limitName)
        name("remaining", &settings.remainingName)
        name("reset", &settings.resetName)
    }
}
