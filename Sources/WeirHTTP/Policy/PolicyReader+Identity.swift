import Weir
import Yams

extension PolicyReader {
    func readIdentity(_ top: PolicyMapping, _ policy: inout Policy) {
        policy.clientSources = readList(top["client"], "'client'").compactMap { node in
            clientSource(node).map { source in
                places.client.append(node.place)
                return source
            }
        }
        if let tiers = top.mapping("tiers", .tiers) { policy.tiers = tierRules(tiers) }
    }

    private func clientSource(_ node: Node) -> ClientSource? {
        guard let source = document.mapping(node, .clientSource) else { return nil }
        let kinds = ["header", "bearer", "jwt", "address"].filter { source[$0] != nil }
        guard kinds.count == 1 else {
            source.error("a client source needs exactly one of 'header', 'bearer', 'jwt' and 'address'")
            return nil
        }
        if let header = source["header"] {
            guard let name = fieldName(header, "'header'") else { return nil }
            if name.lowercased() == "authorization" {
                source.error(
                    "'Authorization' has a scheme in front of the key; write 'bearer: {known: …}' for keys after 'Bearer', or 'jwt' for tokens",
                    at: "header")
                return nil
            }
            let trusted = source.choice("from", ["trusted_proxies": true]) ?? false
            return known(of: source).map { .header(name, fromTrustedProxies: trusted, known: $0) }
        }
        if let bearer = source.mapping("bearer", .bearer) {
            return known(of: bearer).map { .bearer(known: $0) }
        }
        for key in ["from", "known"] where source[key] != nil {
            source.error("'\(key)' is for a 'header' source only", at: key)
        }
        if let jwt = source.mapping("jwt", .jwt) {
            return tokenClaim(jwt).map { .jwt(claim: $0) }
        }
        return source["address"].map { .address(ipv6Prefix: ipv6Prefix($0) ?? IPAddressRange.defaultPrefix) }
    }

    /// The clients that `known` lists; nil inside if there is no `known`, nil outside if it is faulty.
    private func known(of source: PolicyMapping) -> KnownClients?? {
        if let file = source["known"]?.scalar?.string {
            source.error("write 'known: {file: \(file)}' for a file of known clients", at: "known")
            return nil
        }
        guard let lookup = source.mapping("known", .lookup) else {
            return source["known"] == nil ? .some(nil) : nil
        }
        return knownClients(lookup).map { .some($0) }
    }

    /// The prefix in `{ipv6_prefix: 64}`; nil when there is none, as in `address: {}`.
    func ipv6Prefix(_ node: Node) -> Int? {
        if case .scalar(let scalar) = node, scalar.string.isEmpty { return nil }
        return document.mapping(node, .address)?.integer("ipv6_prefix", in: 1...128).map(Int.init)
    }

    /// Reads `{claim: …, keys: …}`, and keeps the token settings, which must be the same throughout a policy.
    func tokenClaim(_ jwt: PolicyMapping) -> String? {
        guard let claim = jwt.text("claim"), !claim.isEmpty else {
            jwt.error("'jwt' needs a 'claim', such as sub")
            return nil
        }
        guard let keys = jwt.text("keys") else {
            if token == nil { jwt.error("'jwt' needs 'keys', a file with a JSON Web Key Set") }
            return token == nil ? nil : claim
        }
        if keys.contains("://") {
            jwt.error(
                "'keys' is a file; download the key set from '\(keys)' into one, and again when it changes", at: "keys")
            return nil
        }
        let settings = TokenSettings(
            keysFile: resolve(keys), issuer: jwt.text("issuer"), audience: jwt.text("audience"))
        if let token, token != settings {
            jwt.error("all 'jwt' sources of a policy must have the same keys, issuer and audience", at: "keys")
        }
        token = settings
        if !files.contains(settings.keysFile) { files.append(settings.keysFile) }
        return claim
    }

    /// Reads a lookup of known clients: a file, or a hash on the store's server.
    private func knownClients(_ lookup: PolicyMapping) -> KnownClients? {
        if lookup["redis_hash"] != nil {
            guard lookup["file"] == nil else {
                lookup.error("a lookup needs either 'file' or 'redis_hash'", at: "file")
                return nil
            }
            return hashLookup(lookup).map { .hash($0) }
        }
        return directory(lookup).map { .file($0) }
    }

    private func hashLookup(_ lookup: PolicyMapping) -> HashLookup? {
        guard let key = lookup.text("redis_hash"), key.ranges(of: "{client}").count == 1 else {
            lookup.error(
                "'redis_hash' must be a key with {client} in it once, such as \"api_key:{client}\"", at: "redis_hash")
            return nil
        }
        return HashLookup(key: key, field: lookup.text("field"))
    }

    private func directory(_ lookup: PolicyMapping) -> ClientFile? {
        guard let file = lookup.text("file") else {
            lookup.error("a lookup needs a 'file' or a 'redis_hash'")
            return nil
        }
        if let read = directories[file] { return read }
        guard let text = readText(file, at: lookup["file"]?.place) else { return nil }
        let directory = ClientFile(file: resolve(file), text: text) { line, message in
            document.warning(message, file: resolve(file), line: line)
        }
        if directory.clients.isEmpty {
            lookup.warning("'\(file)' names no client; each line is a key, and after a space its tier", at: "file")
        }
        directories[file] = directory
        return directory
    }

    private func tierRules(_ tiers: PolicyMapping) -> TierRules? {
        guard let fallback = tiers.text("default") else {
            tiers.error("'tiers' needs a 'default', the tier of clients that have none, such as free")
            return nil
        }
        guard Limit.isValidName(fallback) else {
            tiers.error("a tier's name must be 1 to 64 letters, digits, '_' or '-', not '\(fallback)'", at: "default")
            return nil
        }
        fallbackTier = fallback
        guard let node = tiers["source"] else { return TierRules(source: nil, default: fallback) }
        guard let source = document.mapping(node, .tierSource) else { return nil }
        let kinds = ["header", "file", "redis_hash", "jwt"].filter { source[$0] != nil }
        guard kinds.count == 1 else {
            source.error("a tier's source needs exactly one of 'header', 'file', 'redis_hash' and 'jwt'")
            return nil
        }
        if let header = source["header"] {
            return fieldName(header, "'header'").map { TierRules(source: .header($0), default: fallback) }
        }
        if let jwt = source.mapping("jwt", .jwt) {
            return tokenClaim(jwt).map { TierRules(source: .jwt(claim: $0), default: fallback) }
        }
        if source["redis_hash"] != nil {
            guard source["field"] != nil else {
                source.error("a tier's 'redis_hash' needs the 'field' that holds the tier", at: "redis_hash")
                return nil
            }
            return hashLookup(source).map { TierRules(source: .hash($0), default: fallback) }
        }
        return directory(source).map { TierRules(source: .file($0), default: fallback) }
    }
}
