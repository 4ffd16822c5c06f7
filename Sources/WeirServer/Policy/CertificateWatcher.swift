package import Logging
import ServiceLifecycle
package import Weir

import Foundation

/// Warns in the log, once a day, of certificates that have expired or soon will. At the start and at a reload, those
/// who load the policy warn.
package struct CertificateWatcher: Service {
    private let server: Server
    private let clock: any TickClock
    private let logger: Logger

    private static let day: Timestamp = 86_400_000_000

    package init(server: Server, clock: any TickClock = SystemClock(), logger: Logger) {
        self.server = server
        self.clock = clock
        self.logger = logger
    }

    package func run() async throws {
        await cancelWhenGracefulShutdown {
            while (try? await clock.sleep(ticks: Self.day)) != nil { warn() }
        }
    }

    private func warn() {
        let now = Date(timeIntervalSince1970: Double(clock.timestamp) / 1_000_000)
        for warning in server.certificates?.warnings(at: now) ?? [] { logger.warning("\(warning.message)") }
    }
}
