/// A part of the memory store, with its own table and sweeper. Touch it only while holding its lock.
struct Segment {
    var table = SlotTable()
    /// The number of calls. It names charges and paces the sweeper.
    var sequence: UInt64 = 0
    /// Where the sweeper continues.
    private var hand = 0
    private(set) var annex: SegmentAnnex?
    /// The number of keys of which units are held.
    private(set) var heldKeys = 0

    mutating func annexed() -> SegmentAnnex {
        if let annex { return annex }
        let new = SegmentAnnex()
        annex = new
        return new
    }

    /// The units that requests under way hold of a key.
    @inline(__always)
    func held(of fingerprint: UInt64) -> Int64 {
        heldKeys == 0 ? 0 : annex?.holds.units(of: fingerprint) ?? 0
    }

    mutating func hold(_ units: Int64, of fingerprint: UInt64, sequence: UInt64) {
        let annex = annexed()
        annex.holds.add(units, to: fingerprint, sequence: sequence)
        heldKeys = annex.holds.keyCount
    }

    /// Ends a hold. Returns whether there was one.
    mutating func release(_ sequence: UInt64, of fingerprint: UInt64) -> Bool {
        guard let annex, annex.holds.remove(sequence, from: fingerprint) != nil else { return false }
        heldKeys = annex.holds.keyCount
        return true
    }

    mutating func remove(at index: Int) {
        annex?.remove(table.cell(at: index))
        table.remove(at: index)
    }

    /// Looks at `slots` slots and drops keys that have recovered. Frees memory that the table no longer needs at the
    /// end of a round. Returns the number of keys dropped.
    mutating func sweep(_ slots: Int, at now: Timestamp) -> Int {
        var dropped = 0
        var left = min(slots, table.size)
        while left > 0 {
            if hand >= table.size { hand = 0 }
            if let slot = table[hand], slot.cell.isRecovered(at: now) {
                // Removal may have moved a different key here, so don't advance.
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

    /// Makes room for one more key: drops recovered keys if there are enough, otherwise grows the table. Returns the
    /// number of keys dropped.
    mutating func makeRoom(at now: Timestamp) -> Int {
        guard table.isCrowded else { return 0 }
        let dropped = sweep(table.size, at: now)
        if table.isCrowded || dropped * 8 < table.size { table.grow() }
        return dropped
    }
}
