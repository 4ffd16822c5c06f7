import Synchronization

extension MemoryStore {
    public func apply(_ adjustment: Adjustment) -> StoreAnswer<Bool> {
        .decided(applyNow(adjustment))
    }

    /// Applies a change at once.
    ///
    /// - Returns: whether anything was changed.
    @discardableResult
    public func applyNow(_ adjustment: Adjustment) -> Bool {
        switch adjustment {
        case .refund(let charge, let receipt):
            let fingerprint =
                receipt.isShared ? Self.sharedFingerprint(of: charge.key) : Self.fingerprint(of: charge.key)
            return refund(charge, receipt.withoutMark, fingerprint)
        case .debit(let charge):
            let debit = Debit(cost: charge.cost)
            let own = withLocked(Self.fingerprint(of: charge.key)) { segment, fingerprint, now in
                visit(segment, fingerprint, charge.numbers, at: now, debit)
            }
            if let own { return own }
            return withLocked(Self.sharedFingerprint(of: charge.key)) { segment, fingerprint, now in
                visit(segment, fingerprint, charge.numbers, at: now, evenIfFull: true, debit) ?? false
            }
        case .reset(let numbers, let key):
            return withLocked(Self.fingerprint(of: key)) { segment, fingerprint, now in
                let sequence = segment.pointee.sequence
                segment.pointee.annexed().receipts.voidAll(of: fingerprint, upTo: sequence)
                guard let index = segment.pointee.table.find(fingerprint) else { return false }
                // Visiting a key that is in the table doesn't move any slot.
                let wasUsed = visit(segment, fingerprint, numbers, at: now, IsUsed(count: numbers.count)) ?? false
                segment.pointee.remove(at: index)
                counters.held.wrappingSubtract(1, ordering: .relaxed)
                return wasUsed
            }
        }
    }

    private func refund(_ charge: Charge, _ receipt: Receipt, _ fingerprint: UInt64) -> Bool {
        withLocked(fingerprint) { segment, fingerprint, now in
            // Spend the receipt even if there is nothing to give back. Otherwise it could give back what is charged
            // later.
            let isOnce =
                charge.numbers.algorithm.kind.holdsPermits
                || segment.pointee.annexed().receipts.spend(receipt.sequence, of: fingerprint)
            guard isOnce, segment.pointee.table.find(fingerprint) != nil else { return false }
            return visit(segment, fingerprint, charge.numbers, at: now, Refund(cost: charge.cost, receipt: receipt))
                ?? false
        }
    }

    private func withLocked<Result>(
        _ fingerprint: UInt64, _ body: (UnsafeMutablePointer<Segment>, UInt64, Timestamp) -> Result
    ) -> Result {
        let segment = segment(of: fingerprint)
        segments.lock(of: segment).pointee.lock()
        defer { segments.lock(of: segment).pointee.unlock() }
        return body(segment, fingerprint, now())
    }
}
