/// Looks clients up. After an answer was waited for, the same question is answered at once for a while.
public protocol TierLookup: Sendable {
    /// - Parameters:
    ///   - client: as the request names it.
    ///   - hash: where to look.
    ///   - asker: a hash of the address that asks, so that one which tries names at random can be held back.
    func look(up client: String, in hash: HashLookup, for asker: UInt64) -> StoreAnswer<LookupAnswer>
}
