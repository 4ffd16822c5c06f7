/// What a segment keeps beside its table: states that need more than 16 bytes, and which receipts are spent.
/// Made only when one of these is first needed.
final class SegmentAnnex {
    var logs = Shelf<SlidingLog.State>(empty: SlidingLog.State())
    var permits = Shelf<Concurrency.State>(empty: Concurrency.State())
    var receipts = SpentReceipts()

    func remove(_ cell: Cell) {
        switch cell.shape {
        case .arrival, .window: break
        case .log: logs.remove(Int(cell.low))
        case .permits: permits.remove(Int(cell.low))
        }
    }
}

/// Numbered places for states, reused when free.
struct Shelf<State> {
    private var places: [State] = []
    private var free: [Int] = []
    private let empty: State

    init(empty: State) {
        self.empty = empty
    }

    /// Takes a state out, so that changing it copies nothing. It must be put back or removed.
    mutating func take(_ index: Int) -> State {
        var state = empty
        swap(&state, &places[index])
        return state
    }

    /// Puts a state at its place, or at a new one. Returns which.
    mutating func put(_ state: consuming State, at index: Int?) -> Int {
        if let index = index ?? free.popLast() {
            places[index] = state
            return index
        }
        places.append(state)
        return places.count - 1
    }

    mutating func remove(_ index: Int) {
        if free.count + 1 == places.count {
            self = Shelf(empty: empty)
            return
        }
        places[index] = empty
        free.append(index)
    }
}

/// Which receipts of a segment may no longer be redeemed. Bounded: when it is full it forgets the
/// oldest and from then on refuses all that are as old, so that none is ever redeemed twice.
struct SpentReceipts {
    private static let most = 16_384

    /// Receipts up to here are refused.
    private var refusedUpTo: UInt64 = 0
    /// Rising. Receipts are spent in nearly the order in which they are made.
    private var spent: [UInt64] = []
    /// Keys that were reset, with the sequence at that time: their earlier receipts are void.
    private var resets: [(fingerprint: UInt64, sequence: UInt64)] = []

    /// Spends a receipt. Returns false when it was spent before, or is refused.
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
