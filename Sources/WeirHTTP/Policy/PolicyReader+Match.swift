import Weir
import Yams

extension PolicyReader {
    // MARK: Matches

    /// Reads the conditions on requests that a rule applies to. An exemption lists them directly, without 'match'.
    ///
    /// - Parameter mayReadBody: whether conditions on the body are allowed: a body is read for limits only.
    func match(_ node: Node, inExempt: Bool = false, mayReadBody: Bool = false) -> RequestMatch? {
        if inExempt, let path = node.scalar?.string, path.hasPrefix("/") {
            document.error("an exemption lists its conditions: write '- path: \(path)'", at: node.place)
            return nil
        }
        if mayReadBody, node.scalar?.string == "none" { return RequestMatch.none }
        guard let mapping = document.mapping(node, .match) else { return nil }
        var match = RequestMatch()
        for (key, value) in mapping.values {
            guard case .sequence(let list) = value else { continue }
            if list.isEmpty { mapping.error("'\(key)' is an empty list, which nothing could match", at: key) }
            if list.count > 10_000 { mapping.error("'\(key)' has more than 10000 entries", at: key) }
        }
        match.methods = (mapping.texts("method") ?? []).map { $0.uppercased() }
        match.hosts = (mapping.texts("host") ?? []).map { $0.lowercased() }
        for host in match.hosts where !Self.isHost(host.hasPrefix("*.") ? host.dropFirst(2) : host[...]) {
            mapping.error(
                "'\(host)' is not a host name; write api.example.com without a port, or *.example.com", at: "host")
        }
        if let node = mapping["path"] {
            match.paths = document.list(node).compactMap { (item: Node) -> PathPattern? in
                guard let text = document.text(item, "'path'") else { return nil }
                do {
                    return try PathPattern(text)
                } catch {
                    document.error("\(error)", at: item.place)
                    return nil
                }
            }
        }
        if let node = mapping["header"] { match.headers = headerConditions(node) }
        if let node = mapping["json"] {
            if !mayReadBody { mapping.error(RuleChecker.bodyMatchOutsideLimit, at: "json") }
            match.json = bodyConditions(node)
        }
        match.tiers = mapping.texts("tier") ?? []
        match.addresses = addresses(mapping["address"], "'address'")
        if inExempt, mapping.values.isEmpty {
            mapping.error(RuleChecker.exemptsEverything)
        }
        return match
    }

    private func bodyConditions(_ node: Node) -> [RequestMatch.Value] {
        guard case .mapping(let mapping) = node, !mapping.isEmpty else {
            document.error(
                "'json' must be a mapping of pointers and values, such as {/model: [gpt-4*, o1]}", at: node.place)
            return []
        }
        return mapping.compactMap { key, value in
            guard let pointer = pointer(key) else { return nil }
            let values = document.texts(value, "a value of '\(pointer)'")
            for text in values where text.dropLast().contains("*") {
                document.error("'*' is allowed only at the end of a value: '\(text)'", at: value.place)
            }
            if document.list(value).isEmpty {
                document.error("an empty list of values matches nothing", at: value.place)
            }
            return RequestMatch.Value(pointer, in: values)
        }
    }

    private static func isHost(_ name: Substring) -> Bool {
        if name.hasPrefix("[") { return name.hasSuffix("]") }
        return !name.isEmpty && !name.hasSuffix(".")
            && name.utf8.allSatisfy { byte in
                (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte)
                    || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
                    || byte == UInt8(ascii: "-") || byte == UInt8(ascii: ".") || byte == UInt8(ascii: "_")
            }
    }

    private func headerConditions(_ node: Node) -> [RequestMatch.Header] {
        guard case .mapping(let mapping) = node else {
            // A name without a value: the header must be present.
            return document.list(node).compactMap { item in fieldName(item, "'header'").map { RequestMatch.Header($0) }
            }
        }
        return mapping.compactMap { key, value in
            guard let name = fieldName(key, "'header'"), let text = document.text(value, "'header'") else { return nil }
            if text.hasSuffix("*"), text != "*/*" {
                document.warning("a header's value is compared as it is, and '*' stands for itself", at: value.place)
            }
            return RequestMatch.Header(name, value: text)
        }
    }
}
