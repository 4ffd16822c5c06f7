/// A file of known clients, one a line, each with an optional tier.
public struct ClientFile: Sendable, Hashable {
    /// The file's path.
    public var file: String
    /// The tier of each client; nil for a client without one.
    public var clients: [String: String?]
    /// The first line of each tier.
    var tierLines: [String: Int] = [:]
    /// The first line of a client without a tier; nil if there is none.
    var tierlessLine: Int?

    /// Creates a list of clients in code.
    ///
    /// - Parameters:
    ///   - clients: the tier of each client; nil for a client without one.
    ///   - file: the name for messages.
    public init(_ clients: [String: String?], file: String = "policy") {
        self.file = file
        self.clients = clients
    }

    /// The most lines that are warned of.
    private static let mostWarnings = 20

    /// Reads the lines of a file.
    ///
    /// - Parameter warn: called with a line's number and what is probably wrong with it. It names no client, because
    ///   clients are secrets.
    init(file: String, text: String, warn: (_ line: Int, _ message: String) -> Void) {
        self.file = file
        clients = [:]
        var warnings = 0
        func note(_ line: Int, _ message: String) {
            warnings += 1
            if warnings <= Self.mostWarnings { warn(line, message) }
        }
        for (index, source) in text.split(
            omittingEmptySubsequences: false, whereSeparator: \.isNewline
        ).enumerated() {
            let words = source.split(whereSeparator: \.isWhitespace)
            guard let client = words.first, !client.hasPrefix("#") else { continue }
            let line = index + 1
            let tier = words.count > 1 && !words[1].hasPrefix("#") ? String(words[1]) : nil
            if client.hasPrefix("\"") || client.hasPrefix("'") {
                note(line, "the key begins with a quote, which counts as a part of it")
            } else if client.hasSuffix(":") || client.hasSuffix(",") {
                note(
                    line,
                    "the key ends with '\(client.suffix(1))', which counts as a part of it; a blank separates key and tier"
                )
            } else if tier == nil,
                let mark = [",", ";", "="].first(where: { client.contains($0) && !client.hasSuffix($0) })
            {
                note(line, "the line is one key, with '\(mark)' in it; a blank separates key and tier")
            }
            if words.count > 2, tier != nil, !words[2].hasPrefix("#") {
                note(line, "what follows the tier '\(tier ?? "")' is ignored")
            }
            if clients[String(client)] != nil { note(line, "the key is there twice; this line counts") }
            clients.updateValue(tier, forKey: String(client))
            if let tier {
                if tierLines[tier] == nil { tierLines[tier] = line }
            } else if tierlessLine == nil {
                tierlessLine = line
            }
        }
        if warnings > Self.mostWarnings {
            warn(0, "\(warnings - Self.mostWarnings) more lines like these")
        }
    }

    /// A client's entry, found by the exact bytes of its name. `String` treats different spellings of a character as
    /// equal, so one key could be used as several clients, each with its own budget.
    func entry(_ client: String) -> (name: String, tier: String?)? {
        guard let index = clients.index(forKey: client), clients[index].key.utf8.elementsEqual(client.utf8) else {
            return nil
        }
        return (clients[index].key, clients[index].value)
    }
}
