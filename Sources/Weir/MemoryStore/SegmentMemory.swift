/// The memory of all segments.
///
/// Each segment takes two cache lines, which processors fetch in pairs, so that threads at work on neighbouring
/// segments don't contend. The lock comes first, outside the segment, because a waiting thread touches the lock while
/// the holder changes the segment.
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
