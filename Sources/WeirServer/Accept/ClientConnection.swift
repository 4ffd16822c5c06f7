/// A client's connection, whatever its protocol, as its event loop sees it.
protocol ClientConnection: AnyObject {
    /// Ends everything that has passed its deadline.
    ///
    /// - Parameter tick: the loop's present tick.
    func endIfOverdue(at tick: Int)

    /// Serves no more requests: closes the connection now if it is idle, else when it is done.
    func drain()

    func closeNow()

    /// The number of HTTP/2 streams in progress.
    var streamCount: Int { get }
}

extension ClientConnection {
    var streamCount: Int { 0 }
}
