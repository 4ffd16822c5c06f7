/// Where a fixed window begins.
public struct WindowAlignment: Sendable, Hashable {
    let startsAtFirstRequest: Bool

    /// Windows begin at multiples of the period since the Unix epoch.
    public static let epoch = WindowAlignment(startsAtFirstRequest: false)
    /// Windows begin at the key's first charged request.
    public static let firstRequest = WindowAlignment(startsAtFirstRequest: true)
}
