import Synchronization

extension MemoryStore {
    /// Every 64th call looks at 64 slots, so that idle clients' keys are dropped without sweeping a whole table at
    /// once.
    static let sweepMask: UInt64 = 63

    @inline(__always)
    func paceSweeper(_ segment: UnsafeMutablePointer<Segment>, at now: Timestamp) {
        if segment.pointee.sequence & Self.sweepMask == 0 { sweep(segment, 64, at: now) }
    }

    @inline(never)
    @discardableResult
    private func sweep(_ segment: UnsafeMutablePointer<Segment>, _ slots: Int, at now: Timestamp) -> Int {
        let recovered = segment.pointee.sweep(slots, at: now)
        if recovered > 0 {
            counters.held.wrappingSubtract(recovered, ordering: .relaxed)
            counters.dropped.wrappingAdd(UInt64(recovered), ordering: .relaxed)
        }
        return recovered
    }

    /// Makes room in a full store by dropping recovered keys, in this segment first and then in others. Looks at up to
    /// 4,096 slots. Returns whether there is room now.
    @inline(never)
    func dropRecovered(near segment: UnsafeMutablePointer<Segment>, at now: Timestamp) -> Bool {
        var slots = 4096
        var recovered = sweep(segment, slots, at: now)
        slots -= segment.pointee.table.size
        for _ in 0..<segments.count where recovered == 0 && slots > 0 {
            let other = nextInHand()
            // Only try the other lock: waiting for it while holding one could deadlock.
            guard other != segment, segments.lock(of: other).pointee.tryLock() else { continue }
            recovered += sweep(other, slots, at: now)
            slots -= max(1, other.pointee.table.size)
            segments.lock(of: other).pointee.unlock()
        }
        return recovered > 0 && counters.held.load(ordering: .relaxed) < capacity
    }

    private func nextInHand() -> UnsafeMutablePointer<Segment> {
        segment(of: UInt64(truncatingIfNeeded: counters.hand.wrappingAdd(1, ordering: .relaxed).oldValue))
    }

    /// Drops recovered keys from one `share`-th of the segments, at least one, and frees the memory that this leaves
    /// unused.
    ///
    /// Each call continues where the last one ended, so `share` calls sweep every segment. Call it from a timer: memory
    /// used during an attack is then freed even if no requests follow. Each segment is locked for a few microseconds.
    ///
    /// - Parameter share: the number of calls in one round; at least 1.
    public func maintain(share: Int) {
        let share = max(1, share)
        maintain(segments: segments.count / share + (segments.count % share > 0 ? 1 : 0))
    }

    /// Drops recovered keys from `count` segments and frees the memory that this leaves unused.
    ///
    /// Each call continues where the last one ended.
    package func maintain(segments count: Int) {
        for _ in 0..<max(0, min(count, segments.count)) {
            let segment = nextInHand()
            segments.lock(of: segment).pointee.lock()
            sweep(segment, segment.pointee.table.size, at: now())
            segments.lock(of: segment).pointee.unlock()
        }
    }
}
