public import ServiceLifecycle
public import WeirHTTP

/// A service that runs beside an app's server. It ends the warm-up when the app is ready, and cleans up when the app
/// shuts down.
///
/// ```swift
/// app.addServices(RateLimitService(limiter, isReady: { await model.isLoaded }, onShutdown: { store.close() }))
/// ```
public struct RateLimitService: Service {
    private let limiter: RequestLimiter
    private let isReady: (@Sendable () async -> Bool)?
    private let onShutdown: (@Sendable () -> Void)?

    /// Creates the service.
    ///
    /// - Parameters:
    ///   - limiter: the limiter whose readiness warm-ups (`until: {path: …}`) this service ends.
    ///   - isReady: called four times a second until it returns true; nil when the app calls `limiter.endWarmUp()`
    ///     itself.
    ///   - onShutdown: called when the app shuts down, for example to close a store.
    public init(
        _ limiter: RequestLimiter, isReady: (@Sendable () async -> Bool)? = nil,
        onShutdown: (@Sendable () -> Void)? = nil
    ) {
        self.limiter = limiter
        self.isReady = isReady
        self.onShutdown = onShutdown
    }

    /// Waits until the app is ready, ends the warm-up, and then waits for shutdown.
    public func run() async throws {
        await cancelWhenGracefulShutdown {
            if let isReady {
                while await !isReady() {
                    // Cancelled: the app is shutting down.
                    guard (try? await limiter.clock.sleep(for: .milliseconds(250))) != nil else { return }
                }
                limiter.endWarmUp()
            }
            try? await gracefulShutdown()
        }
        onShutdown?()
    }
}
