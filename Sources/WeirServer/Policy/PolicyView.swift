import WeirHTTP

/// One policy, which an exchange keeps from its first byte to its log line. A request is decided and forwarded by one
/// policy, even when the policy in force changes meanwhile.
final class PolicyView: Sendable {
    let limiter: RequestLimiter
    let forwardedHeader: ForwardedHeader
    /// The headers that Weir writes. The upstream's own headers of these names would contradict them.
    let limitHeaders: HeaderSet
    /// The certificates for connections that begin now; nil for none.
    let certificates: ServerCertificates?
    /// The slot of each limit, in the policy's order.
    let slots: [Int]

    init(_ limiter: RequestLimiter, certificates: ServerCertificates?, slots: [Int]) {
        self.limiter = limiter
        self.certificates = certificates
        self.slots = slots
        forwardedHeader = ForwardedHeader(limiter)
        limitHeaders = HeaderSet(limiter.policy.headers.names)
    }
}
