/// A file of known clients, one a line, each with an optional tier.
public struct Directory: Sendable {
    /// The file's path.
    public var file: String
    /// The tier of each client; nil for a client without one.
    public var clients: [String: String?]

    /// A client's entry, found by the exact bytes of its name. `String` treats different spellings of a character as
    /// equal, so one key could be used as several clients, each with its own budget.
    func entry(_ client: String) -> (name: String, tier: String?)? {
        guard let index = clients.index(forKey: client), clients[index].key.utf8.elementsEqual(client.utf8) else {
            return nil
        }
        return (clients[index].key, clients[index].value)
    }
}
