public import ServiceLifecycle
public import WeirHTTP

/// What runs beside an app's server: it ends the warm-up when the app is ready, and tidies up when the app ends.
///
/// ```swift
/// app.addServices(RateLimitService(limiter, isReady: { await model.isLoaded }, onShutdown: { store.close() }))
/// ```
public struct RateLimitService: Service {
    private let limiter: RequestLimiter
    private let isReady: (@Sendable () async -> Bool)?
    private let onShutdown: (@Sendable () -> Void)?

    /// - Parameters:
    ///   - limiter: whose warm-ups that wait for a service to be ready (`until: {path: …}`) this ends.
    ///   - isReady: asked four times a second until it says so; nil when the app calls
    ///     `limiter.endWarmUp()` itself.
    ///   - onShutdown: called once the app shuts down, such as to close a store.
    public init(
        _ limiter: RequestLimiter, isReady: (@Sendable () async -> Bool)? = nil,
        onShutdown: (@Sendable () -> Void)? = nil
    ) {
        self.limiter = limiter
        self.isReady = isReady
        self.onShutdown = onShutdown
    }

    public func run() async throws {
        await cancelWhenGracefulShutdown {
            if let isReady {
                while await !isReady() {
                    // Cancelled: the app shuts down.
                    guard (try? await limiter.wait(250_000)) != nil else { return }
                }
                limiter.endWarmUp()
            }
            try? await gracefulShutdown()
        }
        onShutdown?()
    }
}
