/// The contents of a `weir.yaml` as plain values. ``Policy/read(_:file:environment:)`` reads it from a file.
public struct Policy: Sendable, Hashable {
    /// The gateway's settings.
    package var gateway = GatewaySettings()
    /// The store that counts. An app passes a shared store to its ``RequestLimiter``.
    public var store = StoreSetting.memory(capacity: nil)
    /// The behavior while the store fails, for limits without their own setting.
    public var onStoreFailure = StoreFailureMode.local
    /// The number of instances that share the store, for `on_store_failure: local`; nil to ask the store.
    public var instances: Int?
    /// The most requests that leaky buckets delay at once, 1 to 10^7; 10,000 by default. Others get 503.
    public var maxDelayed = 10_000
    /// The most bytes of bodies that are held while their requests are decided, 1 to 2^40; 256 MiB by default.
    public var bodyMemory = 256 << 20
    /// The log's settings.
    public var log = LogSettings()
    /// The headers and bodies that clients get.
    public var headers = HeaderSettings()
    /// Which pages of other origins may read Weir's own answers. If nil, all may, without credentials; in an app, the
    /// app's own rules decide.
    public var crossOrigin: CrossOriginSettings?
    /// Proxies whose forwarding headers are trusted.
    public var trustedProxies: [IPAddressRange] = []
    /// The header that trusted proxies put the client's address in.
    public var addressHeader = AddressHeader.xForwardedFor
    /// Whether paths with encoded slashes, backslashes, NULs and double encodings pass unchanged instead of getting
    /// 400. If nil, they pass in an app, whose own router reads the path, and get 400 elsewhere.
    public var allowsLenientPaths: Bool?
    /// The longest request or response body that a cost is read from, in bytes; 1 MiB by default.
    public var maximumBodySize = 1 << 20
    /// The client sources in order: the first one that is present and known wins. The address comes last.
    public var clientSources: [ClientSource] = []
    /// The source of clients' tiers; nil for a policy without tiers.
    public var tiers: TierRules?
    /// The access rules.
    public var accessRules: [AccessRule] = []
    /// The requests that are exempt from all limits.
    public var exemptions: [RequestMatch] = []
    /// The header and secret that bypass all limits; nil for none.
    public var bypass: Bypass?
    /// The limits, in the order that headers and messages use.
    public var limits: [LimitRule] = []
    /// The keys in the policy's file that mean nothing in an app.
    package var gatewayKeys: [String] = []
    /// The files that the policy was read from. They are watched for changes.
    public var files: [String] = []

    /// Creates a policy without limits.
    public init() {}

    /// A line for each part of the policy that means nothing in an app.
    package var unusedInApps: [String] {
        gatewayKeys.isEmpty
            ? []
            : [
                "the policy's \(gatewayKeys.map { "'\($0)'" }.joined(separator: ", ")) mean nothing in an app, only to weir serve"
            ]
    }
}
