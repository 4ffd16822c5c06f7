import Weir

/// The action that a verdict asks for, the same in the gateway and in an app.
package enum VerdictAction {
    /// Pass the request on.
    case forward
    /// Hold the request this long, then pass it on. It has a place, which ``SharedRoom/giveBack(_:)``
    /// frees.
    case hold(Duration)
    /// Send Weir's own answer.
    case answer(Answer)
}

extension LimitedRequest {
    /// Carries out a verdict: finds a place for a delayed request, or refunds it and answers 503.
    ///
    /// A client that leaves while its request is held has paid, because its slot was lost to others.
    ///
    /// - Parameters:
    ///   - verdict: this request's verdict.
    ///   - places: the places for delayed requests.
    package func carryOut(_ verdict: Verdict, places: SharedRoom) -> VerdictAction {
        switch verdict {
        case .pass(delay: .zero): return .forward
        case .pass(let delay):
            if places.take() { return .hold(delay) }
            withdraw()
            return .answer(answer(.temporarilyReduced("Too many requests are waiting already.")))
        case .answer(let problem): return .answer(answer(problem))
        }
    }
}
