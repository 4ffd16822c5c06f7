import NIOCore

/// What was handed over to the store's event loop and not yet taken: a state machine without locks or I/O.
///
/// To wake a loop takes as long as a tenth of a request. While an answer of the server is expected, nobody needs to: the
/// loop comes by itself, and takes what has gathered.
struct HandOver {
    /// How many must have gathered for the loop to be woken while an answer is expected; as many make a batch of their own.
    let gathering: Int
    private var operations: [StoreOperation] = []
    /// Whether the loop was told to come.
    private var isExpected = false
    private var gathersUntil: NIODeadline?
    /// How many gather at the node already.
    private var ahead = 0

    init(gathering: Int) {
        self.gathering = gathering
    }

    /// Takes an operation in. Returns whether the loop must be told to come.
    mutating func append(_ operation: StoreOperation) -> Bool {
        operations.append(operation)
        if isExpected { return false }
        if let gathersUntil, operation.submitted < gathersUntil, ahead + operations.count < gathering {
            return false
        }
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

    /// The loop goes, and comes back by itself until then; nil when it can't say so. Then it must take what came meanwhile,
    /// for whoever handed that over has told nobody.
    ///
    /// - Parameter count: how many that were taken before are not yet sent.
    mutating func gather(until time: NIODeadline?, behind count: Int) -> [StoreOperation] {
        gathersUntil = time
        ahead = count
        return time == nil && !isExpected ? empty() : []
    }
}
