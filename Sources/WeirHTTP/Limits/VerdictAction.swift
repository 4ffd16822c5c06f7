package import Weir

/// What is done with a request once there is a verdict, the same wherever Weir stands.
package enum VerdictAction {
    /// Pass the request on.
    case forward
    /// Hold the request for so many microseconds, then pass it on. It has a place: ``DelayPlaces/leave()`` frees it.
    case hold(Timestamp)
    /// Send an answer of Weir's own.
    case answer(Answer)
}

extension LimitedRequest {
    /// Carries a verdict out: finds a place for a delayed request, or gives its charge back and answers 503.
    ///
    /// A client that leaves while its request is held has paid: its slot was lost to others.
    ///
    /// - Parameters:
    ///   - verdict: this request's.
    ///   - places: where delayed requests wait.
    package func carryOut(_ verdict: Verdict, places: DelayPlaces) -> VerdictAction {
        switch verdict {
        case .pass(delay: 0): return .forward
        case .pass(let delay):
            if places.take() { return .hold(delay) }
            withdraw()
            return .answer(answer(.temporarilyReduced("Too many requests are waiting already.")))
        case .answer(let problem): return .answer(answer(problem))
        }
    }
}
