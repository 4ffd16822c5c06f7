import Logging
import NIOHTTP1
import Weir
import WeirHTTP

/// One structured line for each denial, on a logger of its own. Clients are named by a keyed hash; no key, token or
/// user name, and no query, which may hold one.
struct DenialLog: Sendable {
    let logger: Logger

    func log(_ request: LimitedRequest, _ head: HTTPRequestHead, _ limiter: RequestLimiter) {
        guard let decision = request.reportedDecision else { return }
        var metadata: Logger.Metadata = [
            "limits": .array(request.violatedPolicies.map { .string($0) }),
            "client": "\(request.clientHash)",
            "address": "\(request.clientAddress?.description ?? "")",
            "method": "\(head.method.rawValue)",
            "path": "\(request.path?.path ?? "")",
            "limit": .stringConvertible(decision.limit),
            "remaining": .stringConvertible(decision.remaining),
        ]
        if let wait = decision.retryAfter { metadata["retry_after_us"] = .stringConvertible(Int64(clamping: wait)) }
        if let tier = request.tier { metadata["tier"] = "\(tier)" }
        logger.info("denied", metadata: metadata)
    }
}
