package import Logging
import ServiceLifecycle

import UnixSignals
import Weir
import WeirHTTP

/// Reloads the policy on SIGHUP and when one of its files changes. With a faulty file, the policy in force stays and
/// the faults are logged. Counters survive a reload.
package struct PolicyWatcher: Service {
    private let server: Server
    private let path: String
    private let environment: [String: String]
    private let logger: Logger

    package init(server: Server, path: String, environment: [String: String], logger: Logger) {
        self.server = server
        self.path = path
        self.environment = environment
        self.logger = logger
    }

    package func run() async throws {
        await cancelWhenGracefulShutdown {
            await withTaskGroup { group in
                group.addTask { await reloadOnSignal() }
                group.addTask { await reloadOnChange() }
            }
        }
    }

    private func reloadOnSignal() async {
        for await _ in await UnixSignalsSequence(trapping: .sighup) { await reload("SIGHUP") }
    }

    private func reloadOnChange() async {
        await FileMarks.watch {
            server.limiter.policy.files
        } changed: {
            await reload("a change of the file")
        }
    }

    private func reload(_ cause: String) async {
        let old = server.limiter
        do {
            let loaded = try await LoadedPolicy.load(path, environment: environment)
            for warning in loaded.warnings { logger.warning("\(warning)") }
            let new = try RequestLimiter(
                policy: loaded.policy, store: old.store, verifier: loaded.verifier, replacing: old)
            for line in new.reloadNotices(since: old) { logger.notice("\(line)") }
            if loaded.policy.needsRestart(after: old.policy) {
                logger.notice("server settings such as 'listen' and 'upstream' take effect at the next start")
            }
            server.replace(new, certificates: loaded.certificates)
            logger.notice(
                "policy reloaded", metadata: ["cause": "\(cause)", "limits": "\(loaded.policy.limits.count)"])
        } catch let error {
            for diagnostic in error.diagnostics { logger.error("\(diagnostic)") }
            logger.error("the policy was not reloaded; the one before stays in force", metadata: ["cause": "\(cause)"])
        }
    }
}

extension Policy {
    /// Whether the difference takes effect only after a restart.
    fileprivate func needsRestart(after old: Policy) -> Bool {
        store != old.store || maxDelayed != old.maxDelayed || bodyMemory != old.bodyMemory
            || gateway.needsRestart(after: old.gateway)
    }
}

extension GatewaySettings {
    fileprivate func needsRestart(after old: GatewaySettings) -> Bool {
        var same = self
        // The files may be different ones, but not appear or disappear: that would change what listeners speak.
        if same.tls.isEmpty == old.tls.isEmpty { same.tls = old.tls }
        return same != old
    }
}
