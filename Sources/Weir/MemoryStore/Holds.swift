/// The units that requests under way hold, by key. There are at most as many holds as requests under way.
///
/// They are kept apart from the keys' states: a key that has recovered may be dropped while some of its units are held.
struct Holds {
    private struct Hold {
        var sequence: UInt64
        var units: Int64
    }

    private struct OfKey {
        var units: Int64 = 0
        var open: [Hold] = []
    }

    private var byKey: [UInt64: OfKey] = [:]

    /// The number of keys with held units.
    var keyCount: Int { byKey.count }

    /// The units held of a key.
    func units(of fingerprint: UInt64) -> Int64 { byKey[fingerprint]?.units ?? 0 }

    /// Adds a hold.
    ///
    /// - Parameter sequence: names it among the segment's charges.
    mutating func add(_ units: Int64, to fingerprint: UInt64, sequence: UInt64) {
        // A hold is admitted only within the capacity, so the sum can't overflow.
        byKey[fingerprint, default: OfKey()].units += units
        byKey[fingerprint, default: OfKey()].open.append(Hold(sequence: sequence, units: units))
    }

    /// Ends a hold. Returns its units; nil if there is no such hold.
    mutating func remove(_ sequence: UInt64, from fingerprint: UInt64) -> Int64? {
        guard var key = byKey[fingerprint],
            let index = key.open.firstIndex(where: { $0.sequence == sequence })
        else { return nil }
        let units = key.open[index].units
        key.open.swapAt(index, key.open.count - 1)
        key.open.removeLast()
        key.units -= units
        byKey[fingerprint] = key.open.isEmpty ? nil : key
        return units
    }
}
