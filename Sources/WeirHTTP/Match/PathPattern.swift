/// A path in a policy, such as `/predict`, `/predict*` or `/users/{id}`.
///
/// A `*` at the end matches everything that begins so, `{name}` matches one segment of any value, and `{name:path}` at
/// the end the rest of the path. A trailing slash makes no difference; case does. Patterns are matched against decoded
/// paths.
public struct PathPattern: Sendable, Hashable, CustomStringConvertible {
    enum Part: Sendable, Hashable {
        case literal([UInt8])
        case parameter(String)
    }

    /// The pattern as written in the policy.
    public let description: String
    /// Alternating literals and parameters. The last literal of an exact pattern ends with a slash, as the paths that
    /// it is matched against do.
    let parts: [Part]
    /// Whether the pattern ends with a `*` or with the rest of the path.
    let isPrefix: Bool
    /// The name of the rest of the path, `{name:path}`; nil if the pattern has none.
    let restName: String?

    /// The names of the pattern's parameters.
    var parameters: [String] {
        parts.compactMap { if case .parameter(let name) = $0 { name } else { nil } } + [restName].compactMap(\.self)
    }

    /// - Throws: ``ValueError`` if the text is not a valid pattern.
    init(_ text: String) throws(ValueError) {
        try Self.refuseOtherNotations(text)
        guard text.hasPrefix("/") else { throw ValueError("a path must begin with '/', not '\(text)'") }
        guard !text.contains(where: { $0 == "?" || $0 == "#" || $0 == "\\" || $0.isWhitespace }) else {
            throw ValueError("a path can't contain '?', '#', '\\' or a space: '\(text)'")
        }
        guard !text.contains("//"), !text.contains("/./"), !text.contains("/../"), !text.hasSuffix("/.."),
            !text.hasSuffix("/.")
        else {
            throw ValueError(
                "a path can't contain '//', '/./' or '/../', because they are resolved before it is matched: '\(text)'")
        }
        guard !text.contains(";") else {
            throw ValueError("';' begins parameters, which are removed before a path is matched: '\(text)'")
        }
        guard !text.contains("%") else {
            throw ValueError(
                "a path is decoded before it is matched, so write the character itself instead of '%': '\(text)'")
        }
        description = text
        var rest = text[...]
        restName = Self.takeRestName(&rest)
        isPrefix = restName != nil || text.hasSuffix("*")
        if text.hasSuffix("*") { rest = rest.dropLast() }
        guard !rest.contains("*") else {
            let one = text.prefix { $0 != "*" } + "*"
            throw ValueError(
                "'*' is allowed only at a path's end, and stands for all that follows: write '\(one)', not '\(text)'")
        }
        if !isPrefix, !rest.hasSuffix("/") { rest += "/" }
        var parts: [Part] = []
        while let open = rest.firstIndex(of: "{") {
            guard let close = rest[open...].firstIndex(of: "}"), rest[rest.index(before: open)] == "/" else {
                throw ValueError("'{name}' must be a whole segment of the path: '\(text)'")
            }
            let after = rest.index(after: close)
            let name = rest[rest.index(after: open)..<close]
            if let colon = name.firstIndex(of: ":") {
                let kind = name[name.index(after: colon)...]
                throw ValueError(
                    kind == "path"
                        ? "'{name:path}' takes the rest of a path, so it must be its end: '\(text)'"
                        : "a parameter has no type: write '{\(name[..<colon])}', not '{\(name)}'")
            }
            guard after < rest.endIndex, rest[after] == "/", !name.isEmpty, !name.contains("{"), !name.contains("/")
            else {
                throw ValueError("'{name}' must be a whole segment of the path: '\(text)'")
            }
            parts.append(.literal(Array(rest[..<open].utf8)))
            parts.append(.parameter(String(name)))
            rest = rest[after...]
        }
        guard !rest.contains("}") else { throw ValueError("'}' has no matching '{': '\(text)'") }
        parts.append(.literal(Array(rest.utf8)))
        self.parts = parts
    }

    /// Explains patterns in the notation of a regular expression or of another framework.
    private static func refuseOtherNotations(_ text: String) throws(ValueError) {
        if text.contains(where: { "[]^|".contains($0) }) {
            throw ValueError(
                "patterns are not regular expressions: write '{name}' for one segment of any value, such as /predict/{id}, or '*' at the end; not '\(text)'"
            )
        }
        for segment in text.split(separator: "/") {
            let inner = segment.drop { ":<".contains($0) }.prefix { $0 != ">" }
            let name = (inner.split(separator: ":").last ?? inner).prefix { $0.isLetter || $0.isNumber || $0 == "_" }
            guard segment.hasPrefix(":") || segment.hasPrefix("<"), !name.isEmpty else { continue }
            throw ValueError("write '{\(name)}' for a segment of any value, not '\(segment)'")
        }
    }

    /// Removes `{name:path}` from the end of a pattern. Returns the name.
    private static func takeRestName(_ text: inout Substring) -> String? {
        guard text.hasSuffix(":path}"), let open = text.lastIndex(of: "{"), open > text.startIndex,
            text[text.index(before: open)] == "/"
        else { return nil }
        let name = text[text.index(after: open)...].dropLast(":path}".count)
        guard !name.isEmpty, name.allSatisfy({ $0.isLetter || $0.isNumber || $0 == "_" }) else { return nil }
        text = text[..<open]
        return String(name)
    }

    /// Returns the value of a parameter in a path, or nil if the path doesn't match up to that segment or the pattern
    /// has no such parameter. Ignores case.
    func value(of name: String, in path: String) -> String? {
        let bytes = Array(path.utf8)
        var index = 0
        for part in parts {
            switch part {
            case .literal(let literal):
                guard index + literal.count <= bytes.count,
                    bytes[index..<index + literal.count].elementsEqual(
                        literal, by: { $0.asciiLowercased == $1.asciiLowercased })
                else { return nil }
                index += literal.count
            case .parameter(let parameter):
                let end = bytes[index...].firstIndex(of: UInt8(ascii: "/")) ?? bytes.count
                if parameter == name { return String(decoding: bytes[index..<end], as: UTF8.self) }
                index = end
            }
        }
        return name == restName ? String(decoding: bytes[index...], as: UTF8.self) : nil
    }
}
