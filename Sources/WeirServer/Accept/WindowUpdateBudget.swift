/// Limits the WINDOW_UPDATE frames of one HTTP/2 client.
///
/// A client that opens its window byte by byte makes the server send a frame for each byte. NIO limits the other
/// frames that cost their sender little: PING, SETTINGS, PRIORITY, RST_STREAM, CONTINUATION and empty DATA.
struct WindowUpdateBudget {
    private var left = Self.most

    /// The updates that are always allowed in a burst.
    static let most = 1000
    /// The updates allowed for each piece of data that is sent, and for each tick.
    static let perPiece = 4
    static let perTick = 100

    /// Counts an update. Returns false if there are too many.
    mutating func spend() -> Bool {
        left -= 1
        return left >= 0
    }

    mutating func sentPiece() { left = min(Self.most, left + Self.perPiece) }
    mutating func tick() { left = min(Self.most, left + Self.perTick) }
}
