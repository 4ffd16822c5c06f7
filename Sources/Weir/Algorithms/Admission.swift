/// One limit's answer to whether a request may pass.
enum Admission: Equatable {
    /// The request may pass after `delay` microseconds.
    case allowed(delay: Timestamp)
    /// The request may not pass now. The same request would pass after `retryAfter`; nil when waiting can't help.
    case denied(retryAfter: Ticks?)

    var isAllowed: Bool {
        if case .allowed = self { true } else { false }
    }
}
