/// Whether one limit lets a request pass.
enum Admission: Equatable {
    /// It may pass, after a delay in microseconds.
    case allowed(delay: Timestamp)
    /// It may not; the same request would pass after this wait, or never by waiting.
    case denied(retryAfter: Ticks?)

    var isAllowed: Bool {
        if case .allowed = self { true } else { false }
    }
}
