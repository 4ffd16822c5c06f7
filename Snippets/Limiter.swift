// Limits for anything: mail, outgoing calls, jobs.

import Weir

let limiter = Limiter(try Limit("mail", .perMinute(20)))

// snippet.attempt
// Spend, and answer at once.
let attempt = limiter.attempt("alice")
if attempt.isAllowed {
    print("sent; \(attempt.remaining) more are allowed now")
} else if let wait = attempt.retryAfter {
    print("try again in \(wait)")
}
// snippet.end

// snippet.peek
// Look without spending, spend after the fact, and give back.
print(limiter.peek("alice").remaining)
limiter.charge(3, to: "alice")
if let receipt = attempt.receipt { limiter.refund(receipt) }
// snippet.end

// snippet.acquire
// Wait in line, for at most ten seconds.
do {
    try await limiter.acquire("alice", timeout: .seconds(10))
    print("sent")
} catch let error as AcquireError where error.code == .timedOut {
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
