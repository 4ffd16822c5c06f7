extension Exchange {
    /// The phases of one request with its response, without I/O: an event goes in, an action comes out.
    ///
    /// It is generic over the upstream connection so that tests can use a string.
    struct StateMachine<Upstream: Equatable>: ~Copyable {
        /// The facts about the request that the machine depends on.
        struct Request: Equatable {
            var framing = BodyFraming.none
            /// Whether the request may be sent to the upstream twice (RFC 9110, 9.2.1).
            var isSafeToRepeat = true
        }

        /// The part of the body that is available to read a cost from.
        enum Body: Equatable {
            case none
            case whole
            /// The body exceeds the policy's limit.
            case tooLong
        }

        enum Action: Equatable {
            case nothing
            /// Ask the client for its body, and continue reading.
            case readBody
            /// Keep this part of the body for the upstream.
            case keep
            /// Continue deciding with the available body.
            case decide(by: Body)
            /// Wait for the store, or for a lookup.
            case wait
            /// Continue with the answer that arrived.
            case resume
            /// Discard the answer: its request has ended.
            case abandon
            case startDelay
            /// Get a connection to the upstream: a new one if `isNew`, else an idle one if there is one.
            case connect(isNew: Bool)
            /// Send the request to the upstream.
            case forward(Upstream)
            case sendBody(Upstream)
            case endRequest(Upstream)
            /// Pass on an interim answer, such as 103 Early Hints.
            case sendInterim
            case startResponse
            case sendResponse
            /// End the response. The upstream's connection is reused if the request is complete, too.
            case endResponse(Upstream, isReusable: Bool)
            /// Send the limits' answer.
            case answer
            /// Answer with a problem, and release the upstream.
            case fail(Problem, Upstream?)
            /// Close the client's connection, so that a partial response isn't taken for a complete one.
            case abort(Upstream?)
            /// Free everything that the request holds: the client has left.
            case release(Upstream?)
            /// Close a connection that no exchange waits for.
            case close(Upstream)
        }

        private enum Phase: Equatable {
            case deciding
            /// Reading a body that contains the cost.
            case readingBody(limit: Int, read: Int)
            /// Waiting for the store or a lookup.
            case waiting
            /// Held by a leaky bucket.
            case delayed
            case connecting(isSecond: Bool)
            case forwarding(Upstream, isSecond: Bool, responseStarted: Bool)
            /// The response is written, or the client has left.
            case done
        }

        private let request: Request
        private var phase = Phase.deciding
        /// Whether the whole request was received.
        private(set) var requestEnded: Bool
        private var interimHeads = 0
        private var interimBytes = 0
        /// Whether a store or a lookup has yet to answer, even if the request has ended.
        private(set) var hasOpenQuestion = false

        init(_ request: Request) {
            self.request = request
            requestEnded = request.framing == .none
        }

        /// Whether parts of the body can be taken now.
        var takesBody: Bool {
            switch phase {
            case .readingBody: true
            case .forwarding: !requestEnded
            case .deciding, .waiting, .delayed, .connecting, .done: false
            }
        }

        /// Whether the body is read before the request is decided.
        var keepsBody: Bool {
            if case .readingBody = phase { true } else { false }
        }

        var responseStarted: Bool {
            if case .forwarding(_, _, true) = phase { true } else { false }
        }

        var upstream: Upstream? {
            if case .forwarding(let upstream, _, _) = phase { upstream } else { nil }
        }

        // MARK: Deciding

        /// The cost is in the body.
        mutating func needsBody(atMost limit: Int) -> Action {
            guard phase == .deciding else { return .nothing }
            switch request.framing {
            case .none: return .decide(by: .none)
            case .length(let length) where length > limit: return .decide(by: .tooLong)
            case .length, .chunked:
                phase = .readingBody(limit: limit, read: 0)
                return .readBody
            }
        }

        /// A store or a lookup will answer later.
        mutating func mustWait() -> Action {
            guard phase == .deciding else { return .nothing }
            phase = .waiting
            hasOpenQuestion = true
            return .wait
        }

        /// The store or the lookup has answered.
        mutating func answered() -> Action {
            hasOpenQuestion = false
            guard phase == .waiting else { return .abandon }
            phase = .deciding
            return .resume
        }

        /// The request passes.
        mutating func passed() -> Action {
            guard phase == .deciding else { return .nothing }
            phase = .connecting(isSecond: false)
            return .connect(isNew: false)
        }

        /// The request passes after a delay.
        mutating func mustDelay() -> Action {
            guard phase == .deciding else { return .nothing }
            phase = .delayed
            return .startDelay
        }

        mutating func delayEnded() -> Action {
            guard phase == .delayed else { return .nothing }
            phase = .connecting(isSecond: false)
            return .connect(isNew: false)
        }

        /// Weir answers the request itself.
        mutating func denied() -> Action {
            guard phase == .deciding else { return .nothing }
            phase = .done
            return .answer
        }

        // MARK: The request's body

        /// A part of the body has arrived.
        ///
        /// - Parameter hasRoom: whether there is memory to keep it.
        mutating func bodyReceived(_ count: Int, hasRoom: Bool = true) -> Action {
            switch phase {
            case .readingBody where !hasRoom: return stop(.bodyMemoryFull)
            case .readingBody(let limit, let read):
                // Both lengths are in memory, so the sum can't overflow.
                let read = read + count
                guard read <= limit else {
                    phase = .deciding
                    return .decide(by: .tooLong)
                }
                phase = .readingBody(limit: limit, read: read)
                return .keep
            case .forwarding(let upstream, _, _): return .sendBody(upstream)
            case .deciding, .waiting, .delayed, .connecting, .done: return .nothing
            }
        }

        mutating func bodyEnded() -> Action {
            switch phase {
            case .readingBody:
                requestEnded = true
                phase = .deciding
                return .decide(by: .whole)
            case .forwarding(let upstream, _, _) where !requestEnded:
                requestEnded = true
                return .endRequest(upstream)
            case .forwarding, .deciding, .waiting, .delayed, .connecting, .done: return .nothing
            }
        }

        /// The rest of the body can't be read.
        ///
        /// - Parameter bodyHasArrived: whether all of it has been received, even if it has not been taken yet.
        mutating func bodyBroke(_ problem: Problem, bodyHasArrived: Bool) -> Action {
            if phase == .done || requestEnded || bodyHasArrived { return .nothing }
            return stop(problem)
        }

        // MARK: The upstream

        /// A connection to the upstream is available; nil when there can be none.
        mutating func connected(_ upstream: Upstream?) -> Action {
            guard case .connecting(let isSecond) = phase else { return upstream.map { .close($0) } ?? .nothing }
            guard let upstream else { return stop(.upstreamUnreachable) }
            phase = .forwarding(upstream, isSecond: isSecond, responseStarted: false)
            return .forward(upstream)
        }

        /// The upstream closed the connection early, or sent what can't be read.
        ///
        /// - Parameters:
        ///   - isReused: whether its connection carried an earlier request. The upstream may then have closed it before
        ///     this request arrived.
        ///   - problem: what to tell the client.
        mutating func upstreamFailed(
            _ failed: Upstream, isReused: Bool, because problem: Problem = .upstreamClosed
        ) -> Action {
            guard case .forwarding(failed, let isSecond, let responseStarted) = phase else { return .nothing }
            if responseStarted {
                phase = .done
                return .abort(nil)
            }
            // The upstream almost certainly did not act on it, so send it again, once.
            if problem == .upstreamClosed, isReused, !isSecond, requestEnded, request.isSafeToRepeat {
                phase = .connecting(isSecond: true)
                return .connect(isNew: true)
            }
            phase = .done
            return .fail(problem, nil)
        }

        /// An interim answer (RFC 9110, 15.2).
        ///
        /// - Parameter size: the bytes of its header.
        mutating func interimHead(status: Int, size: Int, from upstream: Upstream) -> Action {
            guard case .forwarding(upstream, _, false) = phase else { return .nothing }
            // An Upgrade is never forwarded, so 101 is no valid answer.
            if status == 101 { return stop(.upstreamInvalid) }
            interimHeads += 1
            // A head is smaller than the parser's limit, so the sum can't overflow.
            interimBytes += size
            if interimHeads > Self.mostInterimHeads || interimBytes > Self.mostInterimBytes {
                return stop(.upstreamInterim)
            }
            // Weir answers Expect itself.
            return status == 100 ? .nothing : .sendInterim
        }

        static var mostInterimHeads: Int { 100 }
        static var mostInterimBytes: Int { 65_536 }

        /// The response's head.
        ///
        /// - Parameter problem: why it can't be passed on; nil if it can.
        mutating func responseHead(status: Int, problem: Problem? = nil, from upstream: Upstream) -> Action {
            guard case .forwarding(upstream, let isSecond, false) = phase else { return .nothing }
            if let problem { return stop(problem) }
            // Other numbers are not statuses.
            guard (200...599).contains(status) else { return stop(.upstreamInvalid) }
            phase = .forwarding(upstream, isSecond: isSecond, responseStarted: true)
            return .startResponse
        }

        mutating func responseBody(from upstream: Upstream) -> Action {
            guard case .forwarding(upstream, _, true) = phase else { return .nothing }
            return .sendResponse
        }

        mutating func responseEnded(from upstream: Upstream) -> Action {
            guard case .forwarding(upstream, _, true) = phase else { return .nothing }
            phase = .done
            return .endResponse(upstream, isReusable: requestEnded)
        }

        // MARK: Ends

        /// A deadline has passed.
        mutating func deadlinePassed() -> Action {
            switch phase {
            // Delays and connection attempts end on their own.
            case .deciding, .delayed, .connecting, .done: .nothing
            case .readingBody: stop(.requestTimeout)
            case .waiting, .forwarding: stop(requestEnded ? .upstreamTimeout : .requestTimeout)
            }
        }

        /// The client has disconnected.
        mutating func clientLeft() -> Action {
            guard phase != .done else { return .nothing }
            let upstream = upstream
            phase = .done
            return .release(upstream)
        }

        /// Ends the exchange with an error: with an answer, unless a response has begun.
        private mutating func stop(_ problem: Problem) -> Action {
            let before = phase
            phase = .done
            if case .forwarding(let upstream, _, let responseStarted) = before {
                return responseStarted ? .abort(upstream) : .fail(problem, upstream)
            }
            return .fail(problem, nil)
        }
    }
}
