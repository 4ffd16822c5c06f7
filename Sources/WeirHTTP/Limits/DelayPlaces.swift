import Synchronization

/// The places for requests that a leaky bucket holds: their number is bounded, whatever the number of event loops.
package final class DelayPlaces: Sendable {
    private let taken = Atomic<Int>(0)
    private let most: Int

    /// - Parameter most: how many requests may be held at once.
    package init(most: Int) { self.most = most }

    /// How many requests are held now.
    package var count: Int { taken.load(ordering: .relaxed) }

    /// Takes a place, unless all are taken.
    func take() -> Bool {
        if taken.wrappingAdd(1, ordering: .relaxed).newValue <= most { return true }
        leave()
        return false
    }

    /// Frees a place, once for each that was taken.
    package func leave() { taken.wrappingSubtract(1, ordering: .relaxed) }
}
