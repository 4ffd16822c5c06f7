/// One key's state in 16 bytes, or the place in its segment of a state that needs more.
///
/// The top two bits give the state's shape, so that the sweeper can recognize a recovered key without knowing its
/// limit.
struct Cell {
    var low: UInt64
    var high: UInt64

    enum Shape: UInt64 {
        case arrival, window, log, permits
    }

    var shape: Shape {
        switch high >> 62 {
        case 0: .arrival
        case 1: .window
        case 2: .log
        default: .permits
        }
    }

    /// Whether the key has recovered: its state is equivalent to that of an unused key.
    @inline(__always)
    func isRecovered(at now: Timestamp) -> Bool {
        switch shape {
        case .arrival: ArrivalTime.load(from: self, nil).ahead(of: now) == 0
        case .window: end <= now || current == 0 && previous == 0
        case .log: Timestamp(high & (1 << 54 - 1)) <= now
        case .permits: high & 1 == 0
        }
    }

    init(shape: Shape, low: UInt64, high: UInt64) {
        self.low = low
        self.high = high | shape.rawValue << 62
    }
}

extension Cell {
    /// Packs 54 bits for an instant and 31 bits for each of two counts up to 2 × 10^9.
    @inline(__always)
    init(end: Timestamp, current: Int64, previous: Int64) {
        let bits = UInt128(UInt64(end)) | UInt128(UInt64(current)) << 54 | UInt128(UInt64(previous)) << 85
        self.init(shape: .window, low: UInt64(truncatingIfNeeded: bits), high: UInt64(truncatingIfNeeded: bits >> 64))
    }

    /// When a key of a window algorithm has recovered.
    @inline(__always)
    var end: Timestamp { Timestamp(low & (1 << 54 - 1)) }
    @inline(__always)
    var current: Int64 { Int64((low >> 54 | high << 10) & 0x7FFF_FFFF) }
    @inline(__always)
    var previous: Int64 { Int64(high >> 21 & 0x7FFF_FFFF) }
}
