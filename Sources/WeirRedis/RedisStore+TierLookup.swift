public import Weir

extension RedisStore: TierLookup {
    /// Looks up a client in the operator's own hash: with `HGET` if the hash names a field, with `EXISTS` otherwise.
    ///
    /// - Parameters:
    ///   - client: the client's name.
    ///   - hash: how to make the key, and which field to read.
    ///   - asker: identifies the address that asks, to limit lookups of names that don't exist.
    public func look(up client: String, in hash: HashLookup, for asker: UInt64) -> StoreAnswer<LookupAnswer> {
        self.client.look(up: client, in: hash, for: asker)
    }
}
