/// A file of known clients, one on a line, each with its tier if it has one.
public struct Directory: Sendable {
    public var file: String
    /// Each client's tier.
    public var clients: [String: String?]

    /// A client's entry, by the very bytes of its name. `String` calls different spellings of a character equal, which
    /// would make several clients, each with a budget, out of one key.
    func entry(_ client: String) -> (name: String, tier: String?)? {
        guard let index = clients.index(forKey: client), clients[index].key.utf8.elementsEqual(client.utf8) else {
            return nil
        }
        return (clients[index].key, clients[index].value)
    }
}
