import Foundation
import Logging
import WeirHTTP

/// A policy's file, which is read again when it changes.
struct PolicyFile: Sendable {
    private let path: String
    private let environment: [String: String]?
    private let revise: RateLimitService.PolicyRevision?
    private let logger: Logger

    init(
        _ path: String, environment: [String: String]?, revise: RateLimitService.PolicyRevision?, logger: Logger
    ) {
        self.path = path
        self.revise = revise
        self.environment = environment
        self.logger = logger
    }

    /// Reads the policy again whenever its files change, until the task is cancelled.
    func watch(for limiter: RequestLimiter) async {
        await FileMarks.watch {
            limiter.current.policy.files + [path]
        } changed: {
            await reload(limiter)
        }
    }

    /// Reads the file and puts its policy in force. With a faulty file, the policy in force stays.
    func reload(_ limiter: RequestLimiter) async {
        do {
            let environment = environment ?? ProcessInfo.processInfo.environment
            let reading = Policy.read(contentsOf: path, environment: environment)
            for warning in reading.diagnostics where warning.severity == .warning { logger.warning("\(warning)") }
            let old = limiter.current
            let policy = try reading.get()
            if let revise {
                let (revised, verifier) = try await revise(policy)
                try limiter.reload(revised, verifier: verifier)
            } else {
                if reading.token != nil { logger.warning("the keys of tokens were not read again: pass 'revise'") }
                try limiter.reload(policy)
            }
            let new = limiter.current
            for line in new.reloadNotices(since: old) { logger.notice("\(line)") }
            logger.notice("policy reloaded", metadata: ["limits": "\(new.policy.limits.count)"])
        } catch {
            let faults = (error as? PolicyError)?.diagnostics.map(\.description) ?? ["\(error)"]
            for fault in faults { logger.error("\(fault)") }
            logger.error("the policy was not reloaded; the one before stays in force")
        }
    }
}
