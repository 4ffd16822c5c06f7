import WeirHTTP

/// The address at the other end of a connection, and its text.
struct PeerAddress: Sendable {
    var address: IPAddress
    var text: String

    init(_ address: IPAddress) {
        self.address = address
        text = address.description
    }
}
