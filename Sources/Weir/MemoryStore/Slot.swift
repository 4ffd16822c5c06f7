/// A key's fingerprint and its state.
struct Slot {
    /// 0 marks an empty slot.
    var fingerprint: UInt64
    var cell: Cell
}
