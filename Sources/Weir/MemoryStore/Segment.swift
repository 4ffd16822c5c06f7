#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif
import Synchronization

/// A spin lock, because what it guards takes some tens of nanoseconds. Who finds it taken for longer (its holder lost the
/// processor) yields.
struct SpinLock: ~Copyable {
    private let locked = Atomic<Bool>(false)

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
}

/// The memory of all segments: for each a place of two cache lines (they are fetched in pairs), so that threads at work on
/// neighbours don't take turns. The lock stands first and the segment beside it, apart, because who waits for a lock
/// touches it while another changes the segment.
struct SegmentMemory {
    private let memory: UnsafeMutableRawPointer
    let count: Int

    private static let place = 128
    private static let segmentOffset = 8

    init(count: Int) {
        self.count = count
        memory = .allocate(byteCount: count * Self.place, alignment: Self.place)
        for index in 0..<count {
            (memory + index * Self.place).bindMemory(to: SpinLock.self, capacity: 1).initialize(to: SpinLock())
            (memory + index * Self.place + Self.segmentOffset).bindMemory(to: Segment.self, capacity: 1)
                .initialize(to: Segment())
        }
    }

    func deallocate() {
        for index in 0..<count {
            self[index].pointee.table.deallocate()
            self[index].deinitialize(count: 1)
            lock(of: self[index]).deinitialize(count: 1)
        }
        memory.deallocate()
    }

    var bytes: Int { count * Self.place }

    @inline(__always)
    subscript(index: Int) -> UnsafeMutablePointer<Segment> {
        (memory + (index &* Self.place &+ Self.segmentOffset)).assumingMemoryBound(to: Segment.self)
    }

    @inline(__always)
    func lock(of segment: UnsafeMutablePointer<Segment>) -> UnsafeMutablePointer<SpinLock> {
        (UnsafeMutableRawPointer(segment) - Self.segmentOffset).assumingMemoryBound(to: SpinLock.self)
    }
}

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
