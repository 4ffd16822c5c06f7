/// Limits the WINDOW_UPDATE frames of one HTTP/2 client.
///
/// A client that opens its window byte by byte makes the server send a frame for each byte. NIO limits the other
/// frames that cost their sender little: PING, SETTINGS, PRIORITY, RST_STREAM, CONTINUATION and empty DATA.
struct WindowUpdateBudget {
    private var left = Self.most
    /// The bytes sent that have not earned an update yet.
    private var bytes = 0

    /// The updates that are always allowed in a burst.
    static let most = 1000
    /// The bytes that must be sent for each further update. A client sends two for each frame, at the most.
    static let bytesPerUpdate = 200
    /// The updates that are allowed again with each tick.
    static let perTick = 100

    /// Counts an update. Returns false if there are too many.
    mutating func spend() -> Bool {
        left -= 1
        return left >= 0
    }

    /// Notes that a frame with data was sent.
    mutating func sent(_ count: Int) {
        // A frame has at most 16 MB, so the sum can't overflow.
        bytes += count
        left = min(Self.most, left + bytes / Self.bytesPerUpdate)
        bytes %= Self.bytesPerUpdate
    }

    mutating func tick() { left = min(Self.most, left + Self.perTick) }
}
