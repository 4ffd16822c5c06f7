public import Hummingbird
public import NIOCore

/// A request context that keeps the peer's address, and nothing else beyond what every context has.
///
/// An app's own context keeps the address in the same way:
///
/// ```swift
/// struct AppContext: RequestContext, RemoteAddressRequestContext {
///     var coreContext: CoreRequestContextStorage
///     let remoteAddress: SocketAddress?
///     init(source: Source) {
///         coreContext = .init(source: source)
///         remoteAddress = source.channel.remoteAddress
///     }
/// }
/// ```
public struct RemoteAddressContext: RequestContext, RemoteAddressRequestContext {
    /// Hummingbird's own part of the context.
    public var coreContext: CoreRequestContextStorage
    /// The address at the other end of the connection; nil when the channel has none.
    public let remoteAddress: SocketAddress?

    /// Takes the address from the connection's channel.
    public init(source: Source) {
        coreContext = .init(source: source)
        remoteAddress = source.channel.remoteAddress
    }
}
