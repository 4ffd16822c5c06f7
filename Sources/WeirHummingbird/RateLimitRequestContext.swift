public import Hummingbird

/// A request context that shows a handler the rate limits of its request.
///
/// ```swift
/// struct AppContext: RemoteAddressRequestContext, RateLimitRequestContext {
///     var coreContext: CoreRequestContextStorage
///     let remoteAddress: SocketAddress?
///     var rateLimit = RateLimit()
///
///     init(source: Source) {
///         coreContext = .init(source: source)
///         remoteAddress = source.channel.remoteAddress
///     }
/// }
/// ```
public protocol RateLimitRequestContext: RequestContext {
    /// The rate limits of the request, set by ``RateLimitMiddleware``.
    var rateLimit: RateLimit { get set }
}
