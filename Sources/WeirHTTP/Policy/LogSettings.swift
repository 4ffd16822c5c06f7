/// Settings for a server's log.
public struct LogSettings: Sendable, Hashable {
    /// The most denials of one limit to log per second, 0 to 1,000,000. The rest are counted.
    public var denialsPerSecond = 100

    /// Creates the default settings.
    public init() {}
}
