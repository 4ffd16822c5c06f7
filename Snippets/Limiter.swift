// Limits for anything: mail, outgoing calls, jobs.

import Weir

let limiter = Limiter(try Limit("mail", .perMinute(20)))

// snippet.decide
// Decide at once.
let decision = limiter.decide("alice")
if decision.allowed {
    print("sent; \(decision.remaining) more are allowed now")
} else if let wait = decision.retryAfter {
    print("try again in \(wait / 1_000_000) s")
}
// snippet.end

// snippet.acquire
// Wait in line, for at most ten seconds.
do {
    try await limiter.acquire("alice", within: 10_000_000)
    print("sent")
} catch let error as AcquireError where error.code == .late {
    print("not now")
}
// snippet.end

// snippet.permits
// Allow at most four uploads at a time.
let uploads = Limiter(try Limit("uploads", concurrency: 4))
try await uploads.withPermit("to the archive") {
    print("uploading")
}
// snippet.end
