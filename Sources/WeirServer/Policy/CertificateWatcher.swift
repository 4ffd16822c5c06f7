public import Logging
public import ServiceLifecycle
public import Weir

import Foundation

/// Warns in the log, once a day, of certificates that have expired or soon will. At the start and at a reload, those
/// who load the policy warn.
public struct CertificateWatcher: Service {
    private let server: Server
    private let clock: any TickClock
    private let logger: Logger

    private static let day: Timestamp = 86_400_000_000

    public init(server: Server, clock: any TickClock = SystemClock(), logger: Logger) {
        self.server = server
        self.clock = clock
        self.logger = logger
    }

    public func run() async throws {
        await cancelWhenGracefulShutdown {
            while (try? await clock.wait(Self.day)) != nil { warn() }
        }
    }

    private func warn() {
        let now = Date(timeIntervalSince1970: Double(clock.now()) / 1_000_000)
        for warning in server.certificates?.warnings(at: now) ?? [] { logger.warning("\(warning.message)") }
    }
}
