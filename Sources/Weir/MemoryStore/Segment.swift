#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif
import Synchronization

/// One of many parts of the memory store, with a lock, a table and a sweeper of its own.
///
/// Every member but the lock may be touched only by who holds the lock.
struct Segment: ~Copyable {
    private let locked = Atomic<Bool>(false)
    var table = SlotTable()
    /// Counts the calls. Names charges, and paces the sweeper.
    var sequence: UInt64 = 0
    /// Where the sweeper goes on.
    private var hand = 0
    private(set) var annex: SegmentAnnex?
    /// Fills two cache lines (they are fetched in pairs), so that threads at work on neighbours don't take turns.
    private var padding: (UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64) = (
        0, 0, 0, 0, 0, 0, 0, 0, 0
    )

    /// What its memory is aligned to.
    static let alignment = 128

    deinit {
        table.deallocate()
    }

    // A spin lock, because what it guards takes some tens of nanoseconds; who finds it taken for
    // longer (its holder lost the processor) yields.
    @inline(__always)
    borrowing func lock() {
        if !locked.exchange(true, ordering: .acquiring) { return }
        lockContended()
    }

    @inline(never)
    private borrowing func lockContended() {
        while true {
            for _ in 0..<64 where !locked.load(ordering: .relaxed) {
                if !locked.exchange(true, ordering: .acquiring) { return }
            }
            sched_yield()
        }
    }

    borrowing func tryLock() -> Bool {
        !locked.exchange(true, ordering: .acquiring)
    }

    @inline(__always)
    borrowing func unlock() {
        locked.store(false, ordering: .releasing)
    }

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
