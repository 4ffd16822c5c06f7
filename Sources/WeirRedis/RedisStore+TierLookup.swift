public import Weir

extension RedisStore: ClientDirectory {
    /// Looks up a client in the operator's own hash: with `HGET` if the hash names a field, with `EXISTS` otherwise.
    ///
    /// - Parameters:
    ///   - client: the client's name.
    ///   - hash: how to make the key, and which field to read.
    ///   - asker: identifies the address that asks, to limit lookups of names that don't exist.
    public func lookUp(_ client: String, in hash: HashLookup, for asker: UInt64) -> StoreAnswer<LookupAnswer> {
        self.client.lookUp(client, in: hash, for: asker)
    }
}
