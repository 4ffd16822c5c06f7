/// The units that requests under way hold, in one segment. There are at most as many holds as requests under way.
///
/// They are kept apart from the keys' states: a key that has recovered may be dropped while some of its units are held.
/// Tables of plain values are reused from one request to the next, so that a hold allocates nothing under the lock.
struct Holds {
    private struct Hold {
        var fingerprint: UInt64
        var units: Int64
    }

    /// The holds, by the sequence of their charge, which is the segment's own.
    private var open: [UInt64: Hold] = [:]
    private var unitsByKey: [UInt64: Int64] = [:]

    /// The number of keys with held units.
    var keyCount: Int { unitsByKey.count }

    /// The units held of a key.
    func units(of fingerprint: UInt64) -> Int64 { unitsByKey[fingerprint] ?? 0 }

    /// Adds a hold.
    mutating func add(_ units: Int64, to fingerprint: UInt64, sequence: UInt64) {
        open[sequence] = Hold(fingerprint: fingerprint, units: units)
        // A hold is admitted only within the capacity, so the sum can't overflow.
        unitsByKey[fingerprint, default: 0] += units
    }

    /// Ends a hold. Returns its units; nil if there is no such hold.
    mutating func remove(_ sequence: UInt64, from fingerprint: UInt64) -> Int64? {
        guard let hold = open[sequence], hold.fingerprint == fingerprint else { return nil }
        open[sequence] = nil
        let left = (unitsByKey[fingerprint] ?? 0) - hold.units
        unitsByKey[fingerprint] = left > 0 ? left : nil
        return hold.units
    }
}
