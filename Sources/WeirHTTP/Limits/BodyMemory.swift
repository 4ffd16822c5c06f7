import Synchronization

/// The memory for bodies that are read before their request is decided. It bounds their bytes across all event loops.
package final class BodyMemory: Sendable {
    private let taken = Atomic<Int>(0)
    private let most: Int

    /// - Parameter most: the largest number of bytes held at once.
    package init(most: Int) { self.most = most }

    /// The number of bytes held now.
    package var count: Int { taken.load(ordering: .relaxed) }

    /// Takes memory. Returns false when there isn't as much.
    package func take(_ bytes: Int) -> Bool {
        if taken.wrappingAdd(bytes, ordering: .relaxed).newValue <= most { return true }
        giveBack(bytes)
        return false
    }

    /// Gives memory back. Call it once for all that was taken.
    package func giveBack(_ bytes: Int) { taken.wrappingSubtract(bytes, ordering: .relaxed) }
}
