#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// An open-addressed table of 24-byte slots.
///
/// It probes linearly, removes by moving later slots back, and grows by a quarter, so a key costs at most 24 / 0.64
/// bytes. It uses raw memory to find, read and write a slot without a bounds check, a reference count or an allocation,
/// and because the system takes mapped memory back at once. Hold the segment's lock to use it. An index is valid until
/// the next insertion, removal or resize.
struct SlotTable {
    private(set) var slots: UnsafeMutablePointer<Slot>?
    /// The number of slots; 0 or at least ``smallest``.
    private(set) var size = 0
    private(set) var count = 0

    static let smallest = 8
    /// Tables of this many bytes or more are mapped. The heap would keep their memory after they are freed.
    private static let mappedFrom = 16_384
    /// Small tables are aligned to cache lines, so that no two tables share one.
    private static let cacheLine = 64

    func deallocate() {
        Self.release(slots, size: size)
    }

    var bytes: Int { Self.byteCount(size) }

    /// Whether one more key needs a larger table: above four fifths, probes grow long.
    @inline(__always)
    var isCrowded: Bool { (count + 1) * 5 > size * 4 }

    /// Whether less than a third of the slots is used.
    var isSparse: Bool { size > Self.smallest && count * 3 < size }

    @inline(__always)
    private func home(_ fingerprint: UInt64) -> Int {
        Int(truncatingIfNeeded: fingerprint.multipliedFullWidth(by: UInt64(truncatingIfNeeded: size)).high)
    }

    @inline(__always)
    private func next(_ index: Int) -> Int {
        index &+ 1 == size ? 0 : index &+ 1
    }

    /// A key's slot, or nil.
    @inline(__always)
    func slot(of fingerprint: UInt64) -> UnsafeMutablePointer<Slot>? {
        guard let slots, let index = find(fingerprint) else { return nil }
        return slots + index
    }

    /// The index of a key's slot, or nil.
    @inline(__always)
    func find(_ fingerprint: UInt64) -> Int? {
        guard let slots else { return nil }
        var index = home(fingerprint)
        while true {
            let found = slots[index].fingerprint
            if found == fingerprint { return index }
            if found == 0 { return nil }
            index = next(index)
        }
    }

    @inline(__always)
    subscript(index: Int) -> Slot? {
        guard let slots, slots[index].fingerprint != 0 else { return nil }
        return slots[index]
    }

    @inline(__always)
    func cell(at index: Int) -> Cell {
        // `find` returned the index, so there are slots.
        slots.unsafelyUnwrapped[index].cell
    }

    @inline(__always)
    func set(_ cell: Cell, at index: Int) {
        slots.unsafelyUnwrapped[index].cell = cell
    }

    /// Adds a key that is not in the table. The table must not be crowded.
    mutating func insert(_ fingerprint: UInt64, _ cell: Cell) {
        Self.place(Slot(fingerprint: fingerprint, cell: cell), in: slots.unsafelyUnwrapped, home: home, next: next)
        count += 1
    }

    /// Removes the key at `index`, and moves back keys that had to probe past it.
    mutating func remove(at index: Int) {
        guard let slots else { return }
        var hole = index
        var probe = next(index)
        while slots[probe].fingerprint != 0 {
            let home = home(slots[probe].fingerprint)
            // A key may fill the hole unless its home is between the hole and the key.
            let stays = hole <= probe ? (home > hole && home <= probe) : (home > hole || home <= probe)
            if !stays {
                slots[hole] = slots[probe]
                hole = probe
            }
            probe = next(probe)
        }
        slots[hole].fingerprint = 0
        count -= 1
    }

    /// Makes room for more keys.
    mutating func grow() {
        resize(to: max(Self.smallest, size + size / 4 + 1))
    }

    /// Frees the slots that the table's keys don't need.
    mutating func shrink() {
        resize(to: count == 0 ? 0 : max(Self.smallest, count * 3 / 2))
    }

    private mutating func resize(to newSize: Int) {
        let old = self
        slots = Self.allocate(newSize)
        size = newSize
        if let slots, let oldSlots = old.slots {
            for index in 0..<old.size where oldSlots[index].fingerprint != 0 {
                Self.place(oldSlots[index], in: slots, home: home, next: next)
            }
        }
        old.deallocate()
    }

    @inline(__always)
    private static func place(
        _ slot: Slot, in slots: UnsafeMutablePointer<Slot>, home: (UInt64) -> Int, next: (Int) -> Int
    ) {
        var index = home(slot.fingerprint)
        while slots[index].fingerprint != 0 { index = next(index) }
        slots[index] = slot
    }

    private static func byteCount(_ size: Int) -> Int { size * MemoryLayout<Slot>.stride }

    private static func allocate(_ size: Int) -> UnsafeMutablePointer<Slot>? {
        guard size > 0 else { return nil }
        let bytes = byteCount(size)
        let memory: UnsafeMutableRawPointer
        if bytes >= mappedFrom {
            let mapped = mmap(nil, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
            guard let mapped, mapped != MAP_FAILED else {
                // The process can't continue without memory, as when the heap is exhausted.
                fatalError("out of memory for rate limit counters")
            }
            memory = mapped
        } else {
            memory = .allocate(byteCount: bytes, alignment: cacheLine)
            memset(memory, 0, bytes)
        }
        return memory.bindMemory(to: Slot.self, capacity: size)
    }

    private static func release(_ slots: UnsafeMutablePointer<Slot>?, size: Int) {
        guard let slots else { return }
        let bytes = byteCount(size)
        if bytes >= mappedFrom { munmap(slots, bytes) } else { UnsafeMutableRawPointer(slots).deallocate() }
    }
}
