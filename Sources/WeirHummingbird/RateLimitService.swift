public import Logging
public import ServiceLifecycle
import Weir
public import WeirHTTP

/// A service that runs beside an app's server: it reads the policy again when its file changes, ends the warm-up when
/// the app is ready, gives memory back that idle keys used, and records the store's gauges.
///
/// ```swift
/// app.addServices(RateLimitService(limiter, reloading: "weir.yaml", isReady: { await model.isLoaded }))
/// ```
public struct RateLimitService: Service {
    /// Completes a policy that was read from a file.
    public typealias PolicyRevision =
        @Sendable (Policy) async throws -> (policy: Policy, verifier: (any TokenVerifier)?)

    private let limiter: RequestLimiter
    private let file: PolicyFile?
    private let isReady: (@Sendable () async -> Bool)?
    private let onShutdown: (@Sendable () -> Void)?
    private let logger: Logger

    /// Every part of the memory store is looked after once in so many seconds.
    private static let round = 30

    /// Creates the service.
    ///
    /// - Parameters:
    ///   - limiter: the limiter of the app's middlewares.
    ///   - path: the policy's file. When it changes, or a file that it names, the policy is read again and put in
    ///     force. With a faulty file, the policy in force stays, and the faults are logged. Nil to leave it.
    ///   - environment: the variables for `${NAME}` in the file; the process's environment if nil.
    ///   - revise: completes a policy that was read again: adds what the app adds in code, and makes the verifier for
    ///     its tokens; nil if the app does neither. Without it, the token verifier stays as it is.
    ///   - isReady: called four times a second until it returns true, which ends the limiter's readiness warm-ups
    ///     (`until: {path: …}`); nil when the app calls `limiter.endWarmUp()` itself.
    ///   - onShutdown: called when the app shuts down.
    ///   - logger: gets a line for each reload.
    public init(
        _ limiter: RequestLimiter, reloading path: String? = nil, environment: [String: String]? = nil,
        revise: PolicyRevision? = nil, isReady: (@Sendable () async -> Bool)? = nil,
        onShutdown: (@Sendable () -> Void)? = nil,
        logger: Logger = Logger(label: "weir")
    ) {
        self.limiter = limiter
        file = path.map { PolicyFile($0, environment: environment, revise: revise, logger: logger) }
        self.isReady = isReady
        self.onShutdown = onShutdown
        self.logger = logger
    }

    /// Runs until the app shuts down.
    public func run() async throws {
        await cancelWhenGracefulShutdown {
            await withTaskGroup { group in
                group.addTask { await awaitReadiness() }
                group.addTask { await lookAfterStores() }
                if let file { group.addTask { await file.watch(for: limiter) } }
            }
        }
        onShutdown?()
    }

    private func awaitReadiness() async {
        guard let isReady else { return }
        while await !isReady() {
            // Cancelled: the app is shutting down.
            guard (try? await limiter.clock.sleep(for: .milliseconds(250))) != nil else { return }
        }
        limiter.endWarmUp()
    }

    private func lookAfterStores() async {
        while (try? await limiter.clock.sleep(for: .seconds(1))) != nil {
            limiter.maintain(share: Self.round)
            StoreMetrics(limiter.store)?.record()
        }
    }
}
