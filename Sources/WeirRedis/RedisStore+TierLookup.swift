public import Weir

extension RedisStore: TierLookup {
    /// Looks a client up in the operator's own hash: by `HGET` when a field is asked for, else by `EXISTS`.
    public func look(up client: String, in hash: HashLookup, for asker: UInt64) -> StoreAnswer<LookupAnswer> {
        self.client.look(up: client, in: hash, for: asker)
    }
}
