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
    /// The node looks at what has gathered by itself: when the server answers, or when the time is over. So nobody needs to
    /// wake it before; nil when it must be woken for every operation. Returns whether operations were submitted because
    /// nobody had woken it for them.
    func node(_ node: Node, gathers gathering: BatchPacing.Gathering?) -> Bool
}
