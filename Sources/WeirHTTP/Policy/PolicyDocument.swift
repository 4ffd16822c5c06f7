import Yams

/// A policy file: reads its YAML into nodes that know their places, and collects errors and warnings.
final class PolicyDocument {
    /// The file's name in diagnostics.
    let file: String
    private(set) var diagnostics: [PolicyDiagnostic] = []
    /// The keys that the reader asked for, and those that the file has, by their sections. For tests.
    private(set) var asked: [String: Set<String>] = [:]
    private(set) var given: [String: Set<String>] = [:]
    private let environment: [String: String]

    /// The largest file that is read, in bytes. A policy written by hand is far smaller.
    static let longest = 4 * 1024 * 1024

    /// - Parameters:
    ///   - file: the file's name in diagnostics.
    ///   - environment: the variables that replace `${NAME}`.
    init(file: String, environment: [String: String]) {
        self.file = file
        self.environment = environment
    }

    var hasErrors: Bool { diagnostics.contains { $0.severity == .error } }

    func error(_ message: String, at mark: Place?) { add(.error, message, at: mark) }
    func warning(_ message: String, at mark: Place?) { add(.warning, message, at: mark) }

    /// Adds a warning about another file that the policy names.
    func warning(_ message: String, file: String, line: Int) {
        diagnostics.append(PolicyDiagnostic(severity: .warning, file: file, line: line, column: 1, message: message))
    }

    private func add(_ severity: PolicyDiagnostic.Severity, _ message: String, at mark: Place?) {
        diagnostics.append(
            PolicyDiagnostic(
                severity: severity, file: file, line: mark?.line ?? 0, column: mark?.column ?? 0, message: message))
    }

    /// Parses the text. Returns nil and adds an error if it isn't the YAML of a policy.
    func compose(_ text: String) -> Node? {
        guard text.utf8.count <= Self.longest else {
            error("the file is larger than 4 MiB", at: nil)
            return nil
        }
        if let (line, column) = Self.firstAnchor(in: text) {
            error(
                "anchors and aliases ('&name', '*name') aren't allowed in a policy; put a text that begins with '&' or '*' in quotes",
                at: Place(line: line, column: column))
            return nil
        }
        if Self.nesting(of: text) > 100 {
            error("brackets are nested more than 100 levels deep", at: nil)
            return nil
        }
        do {
            return try Parser(yaml: text, resolver: .basic, encoding: .utf8).singleRoot()
        } catch let error as YamlError {
            report(error, in: text)
        } catch {
            self.error("the file can't be read as YAML: \(error)", at: nil)
        }
        return nil
    }

    private func report(_ error: YamlError, in text: String) {
        switch error {
        case .scanner(_, let problem, let mark, _), .parser(_, let problem, let mark, _),
            .composer(_, let problem, let mark, _):
            let (message, line) = Self.explained(problem, line: mark.line, in: text)
            self.error(message, at: Place(line: line, column: line == mark.line ? mark.column : 1))
        case .duplicatedKeysInMapping(let duplicates, let context):
            self.error(
                "the key '\(duplicates.first.map { String(describing: $0) } ?? "")' is given twice in this mapping",
                at: Place(line: context.mark.line, column: context.mark.column))
        case .reader(let problem, _, _, _):
            self.error("\(problem): the file must be UTF-8 without control characters", at: nil)
        default:
            self.error("the file can't be read as YAML", at: nil)
        }
    }

    /// Says what is wrong in words of this file, where the parser's own don't tell, and on which line.
    private static func explained(_ problem: String, line: Int, in text: String) -> (message: String, line: Int) {
        if problem.contains("expected a single document") || problem.contains("another document") {
            return ("the file has a second document, after a line '---'; a policy is one document", line)
        }
        let lines = text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline)
        if problem.contains("unexpected end of stream"),
            let open = lines.lastIndex(where: { source in
                ["'", "\""].contains { quote in !source.count(where: { String($0) == quote }).isMultiple(of: 2) }
            })
        {
            return ("a quote on this line isn't closed", open + 1)
        }
        if problem.contains("',' or"),
            let open = lines.prefix(line).lastIndex(where: { source in
                for (left, right) in [("{", "}"), ("[", "]")] as [(Character, Character)]
                where source.count(where: { $0 == left }) > source.count(where: { $0 == right }) { return true }
                return false
            })
        {
            return ("a bracket that opens on this line isn't closed", open + 1)
        }
        if problem.contains("alphabetic or numeric") {
            return ("a text that begins with '*' or '&' must be in quotes", line)
        }
        // The parser often notices a fault only at the line after it.
        let near = [line - 1, line - 2].filter(lines.indices.contains).map { lines[$0] }
        if near.contains(where: { $0.prefix(while: \.isWhitespace).contains("\t") }) {
            return ("the line is indented with a tab; indent with spaces", line)
        }
        for number in [line, line - 1] where lines.indices.contains(number - 1) {
            if let found = lines[number - 1].firstMatch(of: /^\s*(?:- )?(\w+):[^\s\/]/) {
                return ("a blank must follow the colon: '\(found.1): …'", number)
            }
        }
        if let source = near.first(where: { source in
            source.firstMatch(of: /[{,]\s*[\w.-]+:\s*[^"'\s,]*\{[\w:]+\}/) != nil
        }) {
            return ("put quotes around a text with braces, such as \"/users/{id}\": '\(source.trimmingSpaces())'", line)
        }
        guard let source = near.first(where: { !$0.allSatisfy(\.isWhitespace) }) else { return (problem, line) }
        let indent = source.prefix { $0 == " " }.count
        return (
            "\(problem); this line begins after \(indent) space\(indent == 1 ? "" : "s"): lines of one list or mapping must begin alike",
            line
        )
    }

    /// Finds the first anchor or alias outside quotes and comments.
    ///
    /// They must be refused before parsing: a few hundred bytes of nested aliases can keep a YAML parser busy for
    /// minutes.
    static func firstAnchor(in text: String) -> (line: Int, column: Int)? {
        var line = 1
        for source in text.split(separator: "\n", omittingEmptySubsequences: false) {
            var quote: Character?
            var previous: Character = " "
            var column = 0
            for character in source {
                column += 1
                if let open = quote {
                    if character == open, previous != "\\" { quote = nil }
                } else if character == "\"" || character == "'", " [{,:-".contains(previous) {
                    quote = character
                } else if character == "#", previous == " " {
                    break
                } else if previous == "&" || previous == "*", column > 1, !character.isWhitespace,
                    !",]}".contains(character)
                {
                    let before = source.dropFirst(max(0, column - 3)).first
                    if column == 2 || before.map({ " \t[{,".contains($0) }) == true { return (line, column - 1) }
                }
                previous = character
            }
            line += 1
        }
        return nil
    }

    /// Returns how deeply brackets are nested. The parser recurses as deeply.
    private static func nesting(of text: String) -> Int {
        var depth = 0
        var deepest = 0
        for byte in text.utf8 {
            if byte == UInt8(ascii: "[") || byte == UInt8(ascii: "{") { depth += 1 }
            if byte == UInt8(ascii: "]") || byte == UInt8(ascii: "}") { depth -= 1 }
            deepest = max(deepest, depth)
        }
        return deepest
    }

    // MARK: Values

    /// Reads a scalar, and replaces each `${NAME}` in it from the environment.
    func text(_ node: Node, _ what: String) -> String? {
        guard case .scalar(let scalar) = node else {
            error("\(what) must be a single value, not a list or a mapping", at: node.place)
            return nil
        }
        return expand(scalar.string, at: node.place)
    }

    private func expand(_ text: String, at mark: Place?) -> String? {
        guard text.contains("${") else { return text }
        var result = ""
        var rest = Substring(text)
        while let start = rest.firstRange(of: "${") {
            result += rest[..<start.lowerBound]
            guard let end = rest[start.upperBound...].firstIndex(of: "}") else {
                error("'${' has no closing '}'", at: mark)
                return nil
            }
            let name = String(rest[start.upperBound..<end])
            guard let value = environment[name] else {
                if name.contains(where: { !($0.isLetter || $0.isNumber || $0 == "_") }) {
                    error(
                        "'${\(name)}' is not a variable's name; a default can't be given here, so set the variable",
                        at: mark)
                    return nil
                }
                error("the environment variable '\(name)' is not set", at: mark)
                return nil
            }
            result += value
            rest = rest[rest.index(after: end)...]
        }
        return result + rest
    }

    /// Reads a whole number. Adds an error if it isn't in the range.
    func integer(_ node: Node, _ what: String, in range: ClosedRange<Int64>) -> Int64? {
        guard let text = text(node, what) else { return nil }
        guard let value = Int64(text), range.contains(value) else {
            error(
                "\(what) must be a whole number from \(range.lowerBound) to \(range.upperBound), not '\(text)'",
                at: node.place)
            return nil
        }
        return value
    }

    /// Reads `true` or `false`, or one of YAML's other spellings of them.
    func boolean(_ node: Node, _ what: String) -> Bool? {
        guard let text = text(node, what) else { return nil }
        switch text {
        case "true", "True", "yes", "on": return true
        case "false", "False", "no", "off": return false
        default:
            error("\(what) must be true or false, not '\(text)'", at: node.place)
            return nil
        }
    }

    /// Reads a word, and returns the value that belongs to it.
    func choice<Value>(_ node: Node, _ what: String, _ values: KeyValuePairs<String, Value>) -> Value? {
        guard let text = text(node, what) else { return nil }
        if let match = values.first(where: { $0.key == text }) { return match.value }
        let names = values.map(\.key)
        error(
            "\(what) must be one of \(names.joined(separator: ", ")), not '\(text)'\(Suggestion.text(for: text, among: names))",
            at: node.place)
        return nil
    }

    /// Returns the elements of a list, or a single value as a list of one.
    func list(_ node: Node) -> [Node] {
        if case .sequence(let sequence) = node { return Array(sequence) }
        return [node]
    }

    /// Reads a scalar or a list of scalars.
    func texts(_ node: Node, _ what: String) -> [String] {
        list(node).compactMap { text($0, what) }
    }

    /// Remembers that the reader asked for a key. A key that no reader asks for would be accepted and ignored.
    func note(_ key: String, askedIn section: PolicySection) { asked[section.name, default: []].insert(key) }

    /// Reads a mapping. Adds an error for each key that the section doesn't have.
    func mapping(_ node: Node, _ section: PolicySection) -> PolicyMapping? {
        guard case .mapping(let mapping) = node else {
            error(
                "\(section.what) must be a mapping; its keys are \(section.keys.joined(separator: ", "))",
                at: node.place)
            return nil
        }
        var values: [String: Node] = [:]
        for (key, value) in mapping {
            guard case .scalar(let name) = key, section.keys.contains(name.string) else {
                let written = key.scalar?.string ?? "?"
                let belongsOutside = section.name == "response" && PolicySection.cost.keys.contains(written)
                let suggestion =
                    belongsOutside
                    ? "; it belongs beside 'response'" : Suggestion.text(for: written, among: section.keys)
                error("unknown key '\(written)' in \(section.what)\(suggestion)", at: key.place)
                continue
            }
            values[name.string] = value
            given[section.name, default: []].insert(name.string)
        }
        return PolicyMapping(document: self, mark: node.place, what: section.what, values: values, section: section)
    }
}
