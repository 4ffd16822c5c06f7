/// What is left of a limit.
struct Standing: Equatable {
    var remaining: Int64
    var resetAfter: Ticks?
}
