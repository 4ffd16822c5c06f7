import WeirHTTP

/// The other end of a client's connection.
struct Peer: Sendable {
    /// Its address; ``IPAddress/unixSocket`` for a peer without one.
    let address: IPAddress
    /// The address as it is written into forwarded headers; nil for a peer without one.
    let text: String?
    /// Whether it speaks TLS.
    let isSecure: Bool

    init(_ address: IPAddress, isSecure: Bool = false) {
        self.address = address
        text = address == .unixSocket ? nil : address.description
        self.isSecure = isSecure
    }

    var scheme: String { isSecure ? "https" : "http" }
}
