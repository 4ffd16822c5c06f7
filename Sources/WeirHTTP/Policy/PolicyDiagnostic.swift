/// An error or warning about a policy, with its place in the file.
public struct PolicyDiagnostic: Sendable, Hashable, CustomStringConvertible {
    /// How serious a diagnostic is.
    public struct Severity: RawRepresentable, Sendable, Hashable {
        /// The severity's name.
        public let rawValue: String
        /// Creates a severity from its name.
        public init(rawValue: String) { self.rawValue = rawValue }

        /// The policy is unusable.
        public static let error = Severity(rawValue: "error")
        /// The policy looks mistaken.
        public static let warning = Severity(rawValue: "warning")
    }

    /// Whether the policy is unusable, or only looks mistaken.
    public var severity: Severity
    /// The file's name, or `policy` for a policy made in code.
    public var file: String
    /// The line, from 1; 0 if the diagnostic is about the whole file.
    public var line: Int
    /// The column, from 1; 0 if the diagnostic is about the whole line or file.
    public var column: Int
    /// The fault, and how to fix it where that is known.
    public var message: String

    package init(severity: Severity, file: String, line: Int = 0, column: Int = 0, message: String) {
        self.severity = severity
        self.file = file
        self.line = line
        self.column = column
        self.message = message
    }

    /// The diagnostic in one line, such as `weir.yaml:3:7: error: …`.
    public var description: String {
        let place = line > 0 ? "\(file):\(line):\(column)" : file
        return "\(place): \(severity.rawValue): \(message)"
    }
}

/// The error for a policy that can't be used.
public struct PolicyError: Error, Sendable, CustomStringConvertible {
    /// All errors found, in the file's order.
    public let diagnostics: [PolicyDiagnostic]

    package init(_ diagnostics: [PolicyDiagnostic]) {
        self.diagnostics = diagnostics
    }

    /// The diagnostics, one per line.
    public var description: String { diagnostics.map(\.description).joined(separator: "\n") }
}

/// Suggests a name for a misspelled one.
package enum Suggestion {
    /// Returns `; did you mean 'name'?` with the closest name, or an empty text if none is close.
    package static func text(for written: String, among names: [String]) -> String {
        let limit = max(1, written.count / 3)
        let best = names.map { (name: $0, distance: distance(written.lowercased(), $0.lowercased())) }
            .filter { $0.distance <= limit }
            .min { $0.distance < $1.distance }
        let written = written.lowercased()
        let longer = written.count >= 3 ? names.filter { $0.hasPrefix(written) }.min { $0.count < $1.count } : nil
        return (best?.name ?? longer).map { "; did you mean '\($0)'?" } ?? ""
    }

    /// The number of letters to change, insert, delete or swap with a neighbour to turn one name into the other
    /// (optimal string alignment distance). Compares the first 64 letters.
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
