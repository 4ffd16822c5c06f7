/// A state that a segment can keep.
protocol StoredState {
    /// Takes the state out of its cell, to be changed and saved again.
    static func load(from cell: Cell, _ annex: SegmentAnnex?) -> Self
    /// Packs the state into a cell. `previous` is the cell that it was loaded from; nil for a new key.
    consuming func save(over previous: Cell?, _ annex: @autoclosure () -> SegmentAnnex) -> Cell
}

extension ArrivalTime: StoredState {
    // `scaled` needs 85 bits and `perTick` 30: all of `low`, then 31 bits and 30 of `high`. Between them is the debt.
    @inline(__always)
    static func load(from cell: Cell, _ annex: SegmentAnnex?) -> ArrivalTime {
        ArrivalTime(
            scaled: Int128(cell.high & 0x7FFF_FFFF) << 64 | Int128(cell.low),
            perTick: Int64(cell.high >> 32 & 0x3FFF_FFFF),
            isInDebt: cell.high & 0x8000_0000 != 0
        )
    }

    @inline(__always)
    consuming func save(over previous: Cell?, _ annex: @autoclosure () -> SegmentAnnex) -> Cell {
        Cell(
            shape: .arrival,
            low: UInt64(truncatingIfNeeded: scaled),
            high: UInt64(truncatingIfNeeded: scaled >> 64) | (isInDebt ? 0x8000_0000 : 0) | UInt64(perTick) << 32
        )
    }
}

extension FixedWindow.State: StoredState {
    @inline(__always)
    static func load(from cell: Cell, _ annex: SegmentAnnex?) -> FixedWindow.State {
        FixedWindow.State(end: cell.end, used: cell.current)
    }

    @inline(__always)
    consuming func save(over previous: Cell?, _ annex: @autoclosure () -> SegmentAnnex) -> Cell {
        Cell(end: end, current: used, previous: 0)
    }
}

extension SlidingWindow.State: StoredState {
    @inline(__always)
    static func load(from cell: Cell, _ annex: SegmentAnnex?) -> SlidingWindow.State {
        SlidingWindow.State(expires: cell.end, current: cell.current, previous: cell.previous)
    }

    @inline(__always)
    consuming func save(over previous: Cell?, _ annex: @autoclosure () -> SegmentAnnex) -> Cell {
        Cell(end: expires, current: current, previous: self.previous)
    }
}

extension SlidingLog.State: StoredState {
    static func load(from cell: Cell, _ annex: SegmentAnnex?) -> SlidingLog.State {
        annex?.logs.take(Int(cell.low)) ?? SlidingLog.State()
    }

    consuming func save(over previous: Cell?, _ annex: @autoclosure () -> SegmentAnnex) -> Cell {
        let expires = expires
        let index = annex().logs.put(self, at: previous.map { Int($0.low) })
        return Cell(shape: .log, low: UInt64(index), high: UInt64(expires))
    }
}

extension Concurrency.State: StoredState {
    static func load(from cell: Cell, _ annex: SegmentAnnex?) -> Concurrency.State {
        annex?.permits.take(Int(cell.low)) ?? Concurrency.State()
    }

    consuming func save(over previous: Cell?, _ annex: @autoclosure () -> SegmentAnnex) -> Cell {
        let isHeld: UInt64 = permits.isEmpty ? 0 : 1
        let index = annex().permits.put(self, at: previous.map { Int($0.low) })
        return Cell(shape: .permits, low: UInt64(index), high: isHeld)
    }
}
