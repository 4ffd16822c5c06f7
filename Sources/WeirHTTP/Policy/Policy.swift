/// The contents of a `weir.yaml` as plain values. ``Policy/read(_:file:environment:)`` reads it from a file.
public struct Policy: Sendable {
    public var server = ServerSettings()
    public var log = LogSettings()
    public var headers = HeaderSettings()
    /// Proxies whose forwarding headers are trusted.
    public var trustedProxies: [AddressRange] = []
    public var addressHeader = AddressHeader.xForwardedFor
    /// Whether paths with encoded slashes, backslashes, NULs and double encodings pass unchanged instead of getting
    /// 400.
    public var lenientPaths = false
    /// The longest request or response body that a cost is read from, in bytes; 1 MiB by default.
    public var bodyLimit = 1 << 20
    /// The client sources in order: the first one that is present and known wins. The address comes last.
    public var client: [ClientSource] = []
    public var tiers: TierRules?
    public var access: [AccessRule] = []
    public var exempt: [Match] = []
    public var bypass: Bypass?
    public var limits: [LimitRule] = []
    /// The files that the policy was read from. They are watched for changes.
    public var files: [String] = []

    public init() {}
}
