/// The flow-control window of one HTTP/2 stream for data from the client (RFC 9113, 5.2).
///
/// Its size bounds the data that waits for a slow upstream. It is given back as data is taken, in large pieces, so that
/// there are few WINDOW_UPDATE frames.
struct InboundWindow {
    /// In bytes, at least 2.
    let size: Int
    private var taken = 0

    init(size: Int) { self.size = size }

    /// Takes bytes.
    ///
    /// - Returns: the number of bytes to give back now, if any.
    mutating func take(_ count: Int) -> Int? {
        // A stream has at most its window outstanding, so the sum can't overflow.
        taken += count
        guard taken >= size / 2 else { return nil }
        defer { taken = 0 }
        return taken
    }
}
