public import Hummingbird
public import NIOCore

/// A request context that knows the peer's address, and nothing else beside what every context has.
///
/// Contexts of an app's own keep the address in the same way:
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
public struct ClientContext: RequestContext, RemoteAddressRequestContext {
    public var coreContext: CoreRequestContextStorage
    public let remoteAddress: SocketAddress?

    public init(source: Source) {
        coreContext = .init(source: source)
        remoteAddress = source.channel.remoteAddress
    }
}
