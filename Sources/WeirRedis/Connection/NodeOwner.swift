import NIOCore

/// What a node tells its owner, on the node's event loop.
protocol NodeOwner: AnyObject, Sendable {
    /// An operation was executed; nobody waits for it any more when `isLate`.
    func node(_ node: Node, executed operation: StoreOperation, _ result: StoreOperation.Outcome, isLate: Bool)
    /// The server proved that it did not execute an operation. It is the owner's now.
    func node(_ node: Node, refused operation: StoreOperation, _ error: ServerError)
    /// The connection was made, and may be used.
    func nodeIsReady(_ node: Node)
    /// What was handed over meanwhile is to be submitted now.
    func nodeIsAboutToSend(_ node: Node)
    /// What is handed over until then is looked after without a word: the node is about to hear of its server. Returns
    /// whether something was submitted because that isn't so.
    ///
    /// - Parameter count: how many operations wait at the node already.
    func node(_ node: Node, gathersUntil time: NIODeadline?, behind count: Int) -> Bool
}
