import Synchronization

/// Room that all event loops share: places for requests that a leaky bucket delays, or bytes for bodies that are read
/// before their request is decided.
package final class SharedRoom: Sendable {
    private let taken = Atomic<Int>(0)
    private let most: Int

    /// - Parameter most: the largest number of units taken at once.
    package init(most: Int) { self.most = most }

    /// The number of units taken now.
    package var count: Int { taken.load(ordering: .relaxed) }

    /// Takes units. Returns false, with none taken, when there aren't as many.
    package func take(_ units: Int = 1) -> Bool {
        if taken.wrappingAdd(units, ordering: .relaxed).newValue <= most { return true }
        giveBack(units)
        return false
    }

    /// Gives units back. Call it once for all that were taken.
    package func giveBack(_ units: Int = 1) { taken.wrappingSubtract(units, ordering: .relaxed) }
}
