/// A segment's data besides its table: states that need more than 16 bytes, spent receipts, and held units.
///
/// Created when first needed.
final class SegmentAnnex {
    var logs = Shelf<SlidingLog.State>(empty: SlidingLog.State())
    var permits = Shelf<Concurrency.State>(empty: Concurrency.State())
    var receipts = SpentReceipts()
    var holds = Holds()

    func remove(_ cell: Cell) {
        switch cell.shape {
        case .arrival, .window: break
        case .log: logs.remove(Int(cell.low))
        case .permits: permits.remove(Int(cell.low))
        }
    }
}
