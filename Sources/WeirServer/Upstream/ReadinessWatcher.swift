package import Logging
import ServiceLifecycle

import Weir
package import WeirHTTP

/// Says at the start if the upstream can't be reached, and ends the warm-up of limits that wait for it. It asks the
/// upstream every second until it answers 2xx.
package struct ReadinessWatcher: Service {
    private let server: Server
    private let probe: ProbeClient
    private let logger: Logger

    package init(server: Server, upstream: Upstream, logger: Logger) {
        self.server = server
        probe = ProbeClient(upstream: upstream)
        self.logger = logger
    }

    package func run() async throws {
        await cancelWhenGracefulShutdown {
            if await !probe.connects() {
                logger.warning(
                    "the upstream can't be reached; requests are answered 502 until it can",
                    metadata: ["upstream": "\(probe.upstream.authority)"])
            }
            while !Task.isCancelled {
                await check()
                try? await Task.sleep(for: .seconds(1))
            }
        }
    }

    private func check() async {
        // Ask once for each path, however many limits wait for it.
        let waiting = Dictionary(grouping: server.limiter.readinessChecks.filter { !$0.warmUp.isFinished }, by: \.path)
        for (path, checks) in waiting {
            guard await probe.status(of: path).map({ (200..<300).contains($0) }) == true else { continue }
            for check in checks { check.warmUp.finish() }
            logger.notice("the upstream is ready; the warm-up is over", metadata: ["path": "\(path)"])
        }
    }
}
