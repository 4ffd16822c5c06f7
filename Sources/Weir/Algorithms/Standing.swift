/// The units left of a limit, and the time until all of them are back; nil when time alone gives nothing back.
struct Standing: Equatable {
    var remaining: Int64
    var resetAfter: Ticks?
}
