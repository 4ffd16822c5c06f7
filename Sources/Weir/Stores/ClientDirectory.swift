/// Looks clients up. Once an answer was waited for, the same question is answered at once for a while.
public protocol ClientDirectory: Sendable {
    /// Looks up one client.
    ///
    /// - Parameters:
    ///   - client: the client's name, as the request gives it.
    ///   - hash: where to look.
    ///   - asker: a hash of the address that asks, so that an address trying names at random can be slowed down.
    func lookUp(_ client: String, in hash: HashLookup, for asker: UInt64) -> StoreAnswer<LookupAnswer>
}
