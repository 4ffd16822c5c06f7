import Synchronization

extension MemoryStore {
    public func apply(_ adjustment: Adjustment) -> StoreAnswer<Bool> {
        .decided(applyNow(adjustment))
    }

    /// Applies a change at once.
    ///
    /// - Returns: whether anything was changed.
    @discardableResult
    package func applyNow(_ adjustment: Adjustment) -> Bool {
        switch adjustment.kind {
        case .refund(let charge, let receipt):
            return refund(charge, receipt.withoutMark, fingerprint(of: charge, receipt))
        case .debit(let charge):
            let own = withLocked(Self.fingerprint(of: charge.key)) { segment, fingerprint, now in
                visit(segment, fingerprint, charge.numbers, at: now, Debit(cost: charge.cost))
            }
            return own ?? debitShared(charge)
        case .settle(var charge, let receipt, let actual):
            charge.cost = min(max(actual, 0), Rate.maximumCount)
            var isDebited: Bool? = true
            let isSettled = withLocked(fingerprint(of: charge, receipt)) { segment, fingerprint, now in
                guard segment.pointee.release(receipt.withoutMark.sequence, of: fingerprint) else { return false }
                isDebited = visit(
                    segment, fingerprint, charge.numbers, at: now, evenIfFull: receipt.isShared,
                    Debit(cost: charge.cost))
                return true
            }
            if isDebited == nil { _ = debitShared(charge) }
            return isSettled
        case .credit(let charge):
            return withLocked(Self.fingerprint(of: charge.key)) { segment, fingerprint, now in
                guard segment.pointee.table.find(fingerprint) != nil else { return false }
                return visit(segment, fingerprint, charge.numbers, at: now, Credit(cost: charge.cost)) ?? false
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

    /// The key that a receipt's charge was made to.
    private func fingerprint(of charge: Charge, _ receipt: Receipt) -> UInt64 {
        receipt.isShared ? Self.sharedFingerprint(of: charge.key) : Self.fingerprint(of: charge.key)
    }

    private func debitShared(_ charge: Charge) -> Bool {
        withLocked(Self.sharedFingerprint(of: charge.key)) { segment, fingerprint, now in
            visit(segment, fingerprint, charge.numbers, at: now, evenIfFull: true, Debit(cost: charge.cost)) ?? false
        }
    }

    private func refund(_ charge: Charge, _ receipt: Receipt, _ fingerprint: UInt64) -> Bool {
        withLocked(fingerprint) { segment, fingerprint, now in
            guard charge.numbers.algorithm.kind.holdsPermits || now - receipt.time <= Receipt.life else { return false }
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
