/// One of many parts of the memory store, with a table and a sweeper of its own. It may be touched only by who holds its
/// lock.
struct Segment {
    var table = SlotTable()
    /// Counts the calls. Names charges, and paces the sweeper.
    var sequence: UInt64 = 0
    /// Where the sweeper goes on.
    private var hand = 0
    private(set) var annex: SegmentAnnex?

    mutating func annexed() -> SegmentAnnex {
        if let annex { return annex }
        let new = SegmentAnnex()
        annex = new
        return new
    }

    mutating func remove(at index: Int) {
        annex?.remove(table.cell(at: index))
        table.remove(at: index)
    }

    /// Looks at some slots and drops the keys that have recovered; at the end of a round, gives back
    /// memory that isn't needed. Returns how many keys were dropped.
    mutating func sweep(_ slots: Int, at now: Timestamp) -> Int {
        var dropped = 0
        var left = min(slots, table.size)
        while left > 0 {
            if hand >= table.size { hand = 0 }
            if let slot = table[hand], slot.cell.isRecovered(at: now) {
                // Another key may have moved here, so the hand stays.
                remove(at: hand)
                dropped += 1
            } else {
                hand += 1
                left -= 1
            }
        }
        if dropped > 0 || hand >= table.size, table.isSparse {
            table.shrink()
            hand = 0
        }
        return dropped
    }

    /// Makes room for one more key, by dropping keys that have recovered if there are enough, else by growing.
    /// Returns how many were dropped.
    mutating func makeRoom(at now: Timestamp) -> Int {
        guard table.isCrowded else { return 0 }
        let dropped = sweep(table.size, at: now)
        if table.isCrowded || dropped * 8 < table.size { table.grow() }
        return dropped
    }
}
