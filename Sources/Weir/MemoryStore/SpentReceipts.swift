/// A segment's receipts that can no longer be redeemed.
///
/// It is bounded. When it is full, it forgets the oldest receipts and from then on refuses all receipts as old as
/// those, so no receipt is ever redeemed twice.
struct SpentReceipts {
    private static let most = 16_384

    /// Receipts with a sequence up to this one are refused.
    private var refusedUpTo: UInt64 = 0
    /// The spent sequences in rising order. Receipts are spent in nearly the order in which they are made.
    private var spent: [UInt64] = []
    /// Keys that were reset, each with the sequence at that time. Receipts up to that sequence are void.
    private var resets: [(fingerprint: UInt64, sequence: UInt64)] = []

    /// Spends a receipt. Returns false when it was spent before or is refused.
    mutating func spend(_ sequence: UInt64, of fingerprint: UInt64) -> Bool {
        guard sequence > refusedUpTo,
            !resets.contains(where: { $0.fingerprint == fingerprint && sequence <= $0.sequence })
        else { return false }
        var low = 0
        var high = spent.count
        while low < high {
            let middle = (low + high) / 2
            if spent[middle] < sequence { low = middle + 1 } else { high = middle }
        }
        if low < spent.count, spent[low] == sequence { return false }
        spent.insert(sequence, at: low)
        if spent.count > Self.most {
            refusedUpTo = spent[Self.most / 2 - 1]
            spent.removeFirst(Self.most / 2)
        }
        return true
    }

    mutating func voidAll(of fingerprint: UInt64, upTo sequence: UInt64) {
        resets.removeAll { $0.fingerprint == fingerprint }
        resets.append((fingerprint, sequence))
        if resets.count > Self.most / 64 {
            refusedUpTo = max(refusedUpTo, resets.removeFirst().sequence)
        }
    }
}
