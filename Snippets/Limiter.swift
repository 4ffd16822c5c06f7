// Limiting anything: mails, outgoing calls, jobs.

import Weir

let limiter = Limiter(try Limit("mail", .perMinute(20)))

// snippet.decide
// At once, yes or no.
let decision = limiter.decide("alice")
if decision.allowed {
    print("sent; \(decision.remaining) more would pass now")
} else if let wait = decision.retryAfter {
    print("try again in \(wait / 1_000_000) s")
}
// snippet.end

// snippet.acquire
// Waits in line for its turn, for ten seconds at most.
do {
    try await limiter.acquire("alice", within: 10_000_000)
    print("sent")
} catch let error as AcquireError where error.code == .late {
    print("not now")
}
// snippet.end

// snippet.permits
// No more than four at a time.
let uploads = Limiter(try Limit("uploads", concurrency: 4))
try await uploads.withPermit("to the archive") {
    print("uploading")
}
// snippet.end
