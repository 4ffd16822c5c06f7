import Logging
import NIOHTTP1
import Weir
import WeirHTTP

/// One structured line for each denial, on a logger of its own. Clients are named by a keyed hash; no key, token or
/// user name, and no query, which may hold one.
struct DenialLog: Sendable {
    let logger: Logger

    func log(_ request: LimitedRequest, _ head: HTTPRequestHead, _ policy: PolicyView) {
        guard let denial = request.denial(method: head.method.rawValue) else { return }
        var metadata: Logger.Metadata = [
            "limits": .array(denial.limits.map { .string($0) }),
            "client": "\(denial.client)",
            "address": "\(denial.address?.description ?? "")",
            "method": "\(denial.method)",
            "path": "\(denial.path)",
            "limit": .stringConvertible(denial.limit),
            "remaining": .stringConvertible(denial.remaining),
        ]
        if let wait = denial.retryAfter { metadata["retry_after_us"] = .stringConvertible(Int64(clamping: wait)) }
        if let tier = denial.tier { metadata["tier"] = "\(tier)" }
        logger.info("denied", metadata: metadata)
    }
}
