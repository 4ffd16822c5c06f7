import NIOCore
import NIOHTTP1
import WeirHTTP

/// The client's side of an exchange: an HTTP/1.1 connection, or one stream of an HTTP/2 connection.
protocol ExchangeClient: AnyObject {
    /// Whether the client can take more data.
    var isWritable: Bool { get }

    /// Sends `100 Continue` to a client that waits for it before sending its body.
    func sendContinue()

    /// Starts or resumes reading the body: the exchange can take parts.
    func readBody()

    /// Passes on an interim answer, such as 103 Early Hints.
    func sendInterim(_ head: ResponseHeader)

    /// Sends Weir's own answer, complete.
    func send(_ answer: Answer)

    /// Whether the header of an upstream's response can be passed on.
    func takes(_ head: HTTPResponseHead) -> Bool

    /// Starts the upstream's response.
    func startResponse(_ head: ResponseHeader)
    func sendResponse(_ bytes: ByteBuffer)
    func endResponse(_ trailers: HTTPHeaders?)
    func flush()

    /// Closes the connection, so that the client notices that its response is incomplete.
    func abort()

    /// Called when the exchange has ended.
    ///
    /// - Parameter requestEnded: whether the whole request was received.
    func exchangeEnded(requestEnded: Bool)
}
