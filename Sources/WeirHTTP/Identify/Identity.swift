/// The client behind a request, as far as the policy needs to know it.
struct Identity {
    /// The client's own address.
    var address: IPAddress
    /// Whether the request came from a trusted proxy.
    var isFromTrustedProxy: Bool
    /// The source that named the client: its position in the policy's list, from 1; 0 for the address.
    ///
    /// Part of the key, so that a user named `192.0.2.1` and the address have different budgets.
    var source: Int
    /// The client's name, empty if ``source`` is 0. It may be a secret, and is never sent anywhere.
    var client: String
    /// The address that stands for the client if ``source`` is 0: masked to the policy's prefix.
    var maskedAddress: IPAddress
    var tier: String?
    var token: VerifiedToken?
}
