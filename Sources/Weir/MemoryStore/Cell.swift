/// One key's state in 16 bytes, or where in its segment the state lies when it needs more.
///
/// The top two bits say which shape it has, so that the sweeper can tell a recovered key
/// without knowing its limit.
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

    /// Whether the key has recovered: its state is no different from that of a key that was never seen.
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
    /// 54 bits for an instant, and 31 for each of two counts up to 2 × 10^9.
    @inline(__always)
    init(end: Timestamp, current: Int64, previous: Int64) {
        let bits = UInt128(UInt64(end)) | UInt128(UInt64(current)) << 54 | UInt128(UInt64(previous)) << 85
        self.init(shape: .window, low: UInt64(truncatingIfNeeded: bits), high: UInt64(truncatingIfNeeded: bits >> 64))
    }

    /// Keys of the window algorithms have recovered when this instant has come.
    @inline(__always)
    var end: Timestamp { Timestamp(low & (1 << 54 - 1)) }
    @inline(__always)
    var current: Int64 { Int64((low >> 54 | high << 10) & 0x7FFF_FFFF) }
    @inline(__always)
    var previous: Int64 { Int64(high >> 21 & 0x7FFF_FFFF) }
}
