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

    /// Polls every second. That works on every file system, and for files that are replaced by renaming.
    private func reloadOnChange() async {
        var seen = FileMarks(of: server.limiter.policy.files)
        while !Task.isCancelled {
            try? await Task.sleep(for: .seconds(1))
            guard FileMarks(of: server.limiter.policy.files) != seen else { continue }
            // The file may still be being written; wait until it has stopped changing.
            try? await Task.sleep(for: .milliseconds(100))
            let files = server.limiter.policy.files
            // The marks are taken before the files are read, so that a change meanwhile is noticed the next time. Files
            // that only the new policy names have none yet.
            let before = FileMarks(of: files)
            await reload("a change of the file")
            seen = FileMarks(of: server.limiter.policy.files)
            seen.prefer(before)
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
