import NIOCore

/// What was handed over to the store's event loop and not yet taken: a state machine without locks or I/O.
///
/// To wake a loop takes as long as a tenth of a request. While an answer of the server is expected, nobody needs to: the
/// loop comes by itself, and takes what has gathered.
struct HandOver {
    private var operations: [StoreOperation] = []
    /// Whether the loop was told to come.
    private var isExpected = false
    private var gathering: BatchPacing.Gathering?

    /// Takes an operation in. Returns whether the loop must be told to come.
    mutating func append(_ operation: StoreOperation) -> Bool {
        operations.append(operation)
        if isExpected { return false }
        if let gathering, gathering.goesOn(with: operations.count, at: operation.submitted) { return false }
        isExpected = true
        return true
    }

    /// The loop has come, and takes all.
    mutating func empty() -> [StoreOperation] {
        isExpected = false
        if operations.isEmpty { return [] }
        let emptied = operations
        operations = []
        operations.reserveCapacity(emptied.count)
        return emptied
    }

    /// The loop goes. It comes back by itself when enough have gathered or the time is over; nil when it does not. Then it
    /// must take what came meanwhile, because nobody has woken it for that.
    mutating func gather(_ gathering: BatchPacing.Gathering?) -> [StoreOperation] {
        self.gathering = gathering
        return gathering == nil && !isExpected ? empty() : []
    }
}
