/// Who is asking, as far as the policy wants to know.
struct Identity {
    /// The client's own address.
    var address: IPAddress
    /// Whether the peer is a trusted proxy.
    var isFromTrustedProxy: Bool
    /// Which source named the client, from 1; 0 for the address. Part of the key, so that a user called
    /// `192.0.2.1` is not the address.
    var source: Int
    /// What names the client when it isn't its address; never sent anywhere.
    var client: String
    /// What names the client when it is: the address, masked.
    var maskedAddress: IPAddress
    var tier: String?
    var token: VerifiedToken?
}
