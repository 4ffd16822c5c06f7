import WeirHTTP

/// One policy, as an exchange keeps it from its first byte to its log line: everything that is done to a request is done
/// by one policy, whatever is put in force meanwhile.
final class PolicyView: Sendable {
    let limiter: RequestLimiter
    let forwardedHeader: ForwardedHeader
    /// The headers that Weir writes. An upstream's own of the same name would contradict them.
    let limitHeaders: HeaderSet
    /// Where each limit of the policy is counted, in the policy's order.
    let slots: [Int]

    init(_ limiter: RequestLimiter, slots: [Int]) {
        self.limiter = limiter
        self.slots = slots
        forwardedHeader = ForwardedHeader(limiter)
        limitHeaders = HeaderSet(limiter.policy.headers.names)
    }
}
