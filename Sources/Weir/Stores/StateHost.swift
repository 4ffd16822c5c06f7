/// A place that keeps states and lets a visitor see and change one.
protocol StateHost {
    /// The information that the host needs to find one key's state.
    associatedtype Place

    /// Lets `visitor` see and change the settled state at `place`.
    ///
    /// - Returns: nil when the key is new and the host has no room for it.
    func visit<A: LimitAlgorithm, Visitor: StateVisitor>(
        _ algorithm: A, at place: Place, _ visitor: Visitor
    ) -> Visitor.Output? where A.State: StoredState & RemotelyStoredState & KeptState
}

extension StateHost {
    /// Visits the state of the algorithm that `numbers` call for.
    ///
    /// This is the only switch that maps a kind to its algorithm. A new kind compiles only when it is listed here and
    /// its state can be kept in memory, rebuilt from a server's answer, and kept by a ``KeyState``.
    @inline(__always)
    func visit<Visitor: StateVisitor>(
        _ numbers: LimitNumbers, at place: Place, _ visitor: Visitor
    ) -> Visitor.Output? {
        switch numbers.algorithm.kind {
        case .tokenBucket: visit(TokenBucket(numbers), at: place, visitor)
        case .fixedWindow: visit(FixedWindow(numbers), at: place, visitor)
        case .slidingLog: visit(SlidingLog(numbers), at: place, visitor)
        case .slidingWindow: visit(SlidingWindow(numbers), at: place, visitor)
        case .leakyBucket: visit(LeakyBucket(numbers), at: place, visitor)
        case .concurrency: visit(Concurrency(numbers), at: place, visitor)
        }
    }
}
