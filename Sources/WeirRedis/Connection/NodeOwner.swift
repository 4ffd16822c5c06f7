import NIOCore

/// The owner of nodes. A node calls it on its event loop.
protocol NodeOwner: AnyObject, Sendable {
    /// An operation was executed. `isLate` tells that its caller no longer waits.
    func node(_ node: Node, executed operation: StoreOperation, _ result: StoreOperation.Outcome, isLate: Bool)
    /// The server proved that it did not execute an operation. The owner decides what happens to it.
    func node(_ node: Node, refused operation: StoreOperation, _ error: ServerError)
    /// The connection is ready.
    func nodeIsReady(_ node: Node)
    /// The node is about to send, so the owner must submit all operations that were handed over.
    func nodeIsAboutToSend(_ node: Node)

    /// The server has begun to answer with errors, or has stopped.
    func node(_ node: Node, isRefusing: Bool)
    /// Until `gathering` ends, the node looks by itself at the operations that have gathered, and nobody needs to wake
    /// it. Nil if it must be woken for every operation.
    ///
    /// - Returns: whether the owner submitted operations that nobody had woken the node for.
    func node(_ node: Node, gathers gathering: BatchPacing.Gathering?) -> Bool
}
