/// Something to say about a policy, at a place in its file.
public struct Diagnostic: Sendable, Hashable, CustomStringConvertible {
    public enum Severity: String, Sendable, Hashable {
        case error, warning
    }

    public var severity: Severity
    public var file: String
    /// From 1; 0 when the whole file is meant.
    public var line: Int
    /// From 1; 0 when the whole line or file is meant.
    public var column: Int
    public var message: String

    package init(severity: Severity, file: String, line: Int = 0, column: Int = 0, message: String) {
        self.severity = severity
        self.file = file
        self.line = line
        self.column = column
        self.message = message
    }

    /// `weir.yaml:3:7: error: …`
    public var description: String {
        let place = line > 0 ? "\(file):\(line):\(column)" : file
        return "\(place): \(severity.rawValue): \(message)"
    }
}

/// Why a policy can't be used: every error found, in the file's order.
public struct PolicyError: Error, Sendable, CustomStringConvertible {
    public let diagnostics: [Diagnostic]

    package init(_ diagnostics: [Diagnostic]) {
        self.diagnostics = diagnostics
    }

    public var description: String { diagnostics.map(\.description).joined(separator: "\n") }
}

/// Names close to what was written, for «did you mean».
enum Suggestion {
    static func text(for written: String, among names: [String]) -> String {
        let limit = max(1, written.count / 3)
        let best = names.map { (name: $0, distance: distance(written.lowercased(), $0.lowercased())) }
            .filter { $0.distance <= limit }
            .min { $0.distance < $1.distance }
        return best.map { "; did you mean '\($0.name)'?" } ?? ""
    }

    /// How many letters must be changed, added, removed or exchanged with their neighbour.
    static func distance(_ left: String, _ right: String) -> Int {
        let left = Array(left.prefix(64))
        let right = Array(right.prefix(64))
        var rows = [Array(0...right.count)]
        for (i, letter) in left.enumerated() {
            var row = [i + 1]
            for (j, other) in right.enumerated() {
                var cost = min(row[j] + 1, rows[i][j + 1] + 1, rows[i][j] + (letter == other ? 0 : 1))
                if i > 0, j > 0, letter == right[j - 1], left[i - 1] == other {
                    cost = min(cost, rows[i - 1][j - 1] + 1)
                }
                row.append(cost)
            }
            rows.append(row)
        }
        return rows[left.count][right.count]
    }
}
