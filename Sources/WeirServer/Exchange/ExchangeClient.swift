import NIOCore
import NIOHTTP1
import WeirHTTP

/// The client's side of an exchange: an HTTP/1.1 connection, or one stream of an HTTP/2 connection.
protocol ExchangeClient: AnyObject {
    /// Whether the client takes what is written.
    var isWritable: Bool { get }

    /// Asks a client that waits for it (`Expect: 100-continue`) for its body.
    func sendContinue()

    /// The exchange takes parts of the body from now on, or again.
    func readBody()

    /// Sends a whole answer of Weir's own.
    func send(_ answer: Answer)

    /// Begins a response of the upstream's.
    func startResponse(_ head: ResponseHeader)
    func sendResponse(_ bytes: ByteBuffer)
    func endResponse(_ trailers: HTTPHeaders?)
    func flush()

    /// The response can't be finished, and the client must notice that.
    func abort()

    /// The exchange is over.
    ///
    /// - Parameter requestEnded: whether the whole request was received.
    func exchangeEnded(requestEnded: Bool)
}
