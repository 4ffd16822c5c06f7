import NIOCore

/// Hands operations over to the store's event loop: a state machine without locks or I/O.
///
/// Waking a loop takes as long as a tenth of a request. While the server's answer is expected, nobody needs to: the
/// loop wakes up for the answer and takes the operations that have gathered.
struct HandOver {
    private var operations: [StoreOperation] = []
    /// Whether the loop has been woken.
    private var isExpected = false
    private var gathering: BatchPacing.Gathering?

    /// Takes an operation. Returns whether the caller must wake the loop.
    mutating func append(_ operation: StoreOperation) -> Bool {
        operations.append(operation)
        if isExpected { return false }
        if let gathering, gathering.goesOn(with: operations.count, at: operation.submitted) { return false }
        isExpected = true
        return true
    }

    /// The loop is awake and takes all operations.
    mutating func empty() -> [StoreOperation] {
        isExpected = false
        if operations.isEmpty { return [] }
        let emptied = operations
        operations = []
        operations.reserveCapacity(emptied.count)
        return emptied
    }

    /// The loop goes to sleep. It wakes up by itself when `gathering` ends; nil if it won't. In that case it must
    /// take the operations that arrived meanwhile, because nobody has woken it for them.
    mutating func gather(_ gathering: BatchPacing.Gathering?) -> [StoreOperation] {
        self.gathering = gathering
        return gathering == nil && !isExpected ? empty() : []
    }
}
