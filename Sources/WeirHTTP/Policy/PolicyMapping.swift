import Yams

/// A mapping in a policy file, and the values of its keys.
///
/// A method that reads a key returns nil if the key is absent or its value is invalid. An invalid value also adds an
/// error.
struct PolicyMapping {
    let document: PolicyDocument
    /// The place of the mapping.
    let mark: Place?
    /// The mapping's description in messages, such as "a limit".
    let what: String
    let values: [String: Node]

    let section: PolicySection

    subscript(key: String) -> Node? {
        document.note(key, askedIn: section)
        return values[key]
    }

    func text(_ key: String) -> String? { self[key].flatMap { document.text($0, "'\(key)'") } }
    func texts(_ key: String) -> [String]? { self[key].map { document.texts($0, "'\(key)'") } }
    func boolean(_ key: String) -> Bool? { self[key].flatMap { document.boolean($0, "'\(key)'") } }
    func integer(_ key: String, in range: ClosedRange<Int64>) -> Int64? {
        self[key].flatMap { document.integer($0, "'\(key)'", in: range) }
    }
    /// Reads a duration. It and the range are in microseconds.
    func duration(_ key: String, in range: ClosedRange<Int64>) -> Int64? { parse(key, in: range, RateText.duration) }
    /// Reads a size in bytes, such as `10MB`.
    func size(_ key: String, in range: ClosedRange<Int64>) -> Int64? { parse(key, in: range, RateText.size) }
    private func parse(
        _ key: String, in range: ClosedRange<Int64>, _ parser: (String, ClosedRange<Int64>) throws -> Int64
    ) -> Int64? {
        self[key].flatMap { (node: Node) -> Int64? in
            guard let text = document.text(node, "'\(key)'") else { return nil }
            do {
                return try parser(text, range)
            } catch {
                document.error("'\(key)': \(error)", at: node.place)
                return nil
            }
        }
    }
    func mapping(_ key: String, _ section: PolicySection) -> PolicyMapping? {
        self[key].flatMap { document.mapping($0, section) }
    }
    func choice<Value>(_ key: String, _ values: KeyValuePairs<String, Value>) -> Value? {
        self[key].flatMap { document.choice($0, "'\(key)'", values) }
    }
    /// Adds an error at a key's value, or at the mapping if there is no such key.
    func error(_ message: String, at key: String? = nil) {
        document.error(message, at: key.flatMap { values[$0]?.place } ?? mark)
    }
    /// Adds an error at the deepest of the keys that lead to it.
    func error(_ problem: RuleProblem) {
        var place = mark
        var inside = values
        for key in problem.path {
            guard let node = inside[key] else { break }
            place = node.place
            guard case .mapping(let mapping) = node else { break }
            inside = Dictionary(mapping.map { ($0.key.scalar?.string ?? "", $0.value) }, uniquingKeysWith: { $1 })
        }
        document.error(problem.message, at: place)
    }
    /// Adds a warning at a key's value, or at the mapping if there is no such key.
    func warning(_ message: String, at key: String? = nil) {
        document.warning(message, at: key.flatMap { values[$0]?.place } ?? mark)
    }
}
