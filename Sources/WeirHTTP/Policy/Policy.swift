/// What a `weir.yaml` says, as plain values. ``Policy/read(_:file:environment:)`` makes it from a file.
public struct Policy: Sendable {
    public var server = ServerSettings()
    public var log = LogSettings()
    public var headers = HeaderSettings()
    /// Peers whose word about the client is taken.
    public var trustedProxies: [AddressRange] = []
    public var addressHeader = AddressHeader.xForwardedFor
    /// Whether encoded slashes, backslashes, NULs and double encodings pass, kept as they are, instead of getting 400.
    public var lenientPaths = false
    /// The longest request or response body that a cost is read from, in bytes.
    public var bodyLimit = 1 << 20
    /// Who is asking: the first source that is present and known wins; the address comes last.
    public var client: [ClientSource] = []
    public var tiers: TierRules?
    public var access: [AccessRule] = []
    public var exempt: [Match] = []
    public var bypass: Bypass?
    public var limits: [LimitRule] = []
    /// The files that the policy was read from, watched for changes.
    public var files: [String] = []

    public init() {}
}
