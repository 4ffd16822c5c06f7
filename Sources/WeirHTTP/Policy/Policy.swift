/// The contents of a `weir.yaml` as plain values. ``Policy/read(_:file:environment:)`` reads it from a file.
public struct Policy: Sendable {
    /// The gateway's settings.
    public var server = ServerSettings()
    /// The log's settings.
    public var log = LogSettings()
    /// The headers and bodies that clients get.
    public var headers = HeaderSettings()
    /// Which pages of other origins may read Weir's own answers; nil for all, without credentials.
    public var crossOrigin: CrossOriginSettings?
    /// Proxies whose forwarding headers are trusted.
    public var trustedProxies: [AddressRange] = []
    /// The header that trusted proxies put the client's address in.
    public var addressHeader = AddressHeader.xForwardedFor
    /// Whether paths with encoded slashes, backslashes, NULs and double encodings pass unchanged instead of getting
    /// 400.
    public var lenientPaths = false
    /// The longest request or response body that a cost is read from, in bytes; 1 MiB by default.
    public var bodyLimit = 1 << 20
    /// The client sources in order: the first one that is present and known wins. The address comes last.
    public var client: [ClientSource] = []
    /// The source of clients' tiers; nil for a policy without tiers.
    public var tiers: TierRules?
    /// The access rules.
    public var access: [AccessRule] = []
    /// The requests that are exempt from all limits.
    public var exempt: [Match] = []
    /// The header and secret that bypass all limits; nil for none.
    public var bypass: Bypass?
    /// The limits, in the order that headers and messages use.
    public var limits: [LimitRule] = []
    /// The files that the policy was read from. They are watched for changes.
    public var files: [String] = []

    /// Creates a policy without limits.
    public init() {}
}
