import Synchronization

/// The places for requests that a leaky bucket delays. They bound the number of delayed requests across all event
/// loops.
package final class DelayPlaces: Sendable {
    private let taken = Atomic<Int>(0)
    private let most: Int

    /// - Parameter most: the largest number of requests held at once.
    package init(most: Int) { self.most = most }

    /// The number of requests held now.
    package var count: Int { taken.load(ordering: .relaxed) }

    /// Takes a place. Returns false when all are taken.
    func take() -> Bool {
        if taken.wrappingAdd(1, ordering: .relaxed).newValue <= most { return true }
        leave()
        return false
    }

    /// Frees a place. Call it once for each place taken.
    package func leave() { taken.wrappingSubtract(1, ordering: .relaxed) }
}
