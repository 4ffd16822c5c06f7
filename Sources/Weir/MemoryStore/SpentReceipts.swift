/// A segment's receipts that can no longer be redeemed.
///
/// It is bounded. When it is full, it forgets the oldest receipts and from then on refuses all receipts as old as
/// those, so no receipt is ever redeemed twice.
struct SpentReceipts {
    /// The most receipts that are remembered.
    private let most: Int
    /// Receipts with a sequence up to this one are refused.
    private(set) var refusedUpTo: UInt64 = 0
    /// The spent sequences in rising order. Receipts are spent in nearly the order in which they are made.
    private(set) var spent: [UInt64] = []
    /// Keys that were reset, each with the sequence at that time. Receipts up to that sequence are void.
    private var resets: [(fingerprint: UInt64, sequence: UInt64)] = []

    /// Whether every receipt can still be redeemed.
    var isEmpty: Bool { refusedUpTo == 0 && spent.isEmpty }

    /// - Parameter most: the most receipts that are remembered, at least 2.
    init(most: Int = 16_384) { self.most = most }

    /// Continues with receipts that were spent before.
    init(most: Int, refusedUpTo: UInt64, spent: [UInt64]) {
        self.most = most
        self.refusedUpTo = refusedUpTo
        self.spent = Array(Set(spent).sorted().suffix(most))
    }

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
        if spent.count > most {
            refusedUpTo = spent[most / 2 - 1]
            spent.removeFirst(most / 2)
        }
        return true
    }

    /// Refuses all receipts up to a sequence, of all keys.
    mutating func voidAll(upTo sequence: UInt64) { refusedUpTo = max(refusedUpTo, sequence) }

    mutating func voidAll(of fingerprint: UInt64, upTo sequence: UInt64) {
        resets.removeAll { $0.fingerprint == fingerprint }
        resets.append((fingerprint, sequence))
        if resets.count > most / 64 {
            refusedUpTo = max(refusedUpTo, resets.removeFirst().sequence)
        }
    }
}
