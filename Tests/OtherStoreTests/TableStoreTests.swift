import Foundation
import Testing
import Weir
import WeirTesting

@Suite("A store written with the public interface alone")
struct TableStoreTests {
    @Test("keeps the contract of every store", arguments: StoreConformance.cases)
    func conforms(_ rule: StoreConformance.Case) async throws {
        let clock = ManualClock()
        try await rule.run(on: TableStore(clock: clock), clock)
    }

    @Test("limits jobs, and forgets keys that have recovered")
    func sharedLimiter() async throws {
        let clock = ManualClock()
        let store = TableStore(clock: clock)
        let limiter = SharedLimiter(try Limit("jobs", .perMinute(2)), store: store, clock: clock)
        #expect(try await limiter.attempt("a", cost: 2).isAllowed)
        let denied = try await limiter.attempt("a")
        #expect(!denied.isAllowed && denied.retryAfter == .seconds(30))
        #expect(store.rowCount == 1)
        clock.advance(by: .seconds(60))
        #expect(try await limiter.peek("a").remaining == 2)
        #expect(store.rowCount == 0)
    }

    @Test("a permit of a process that has ended is free again once its lease has ended")
    func leases() async throws {
        let clock = ManualClock()
        let limiter = SharedLimiter(
            try Limit("jobs", concurrency: 1), store: TableStore(clock: clock), clock: clock)
        let lost = try await limiter.attempt("a")
        #expect(lost.isAllowed)
        #expect(try await !limiter.attempt("a").isAllowed)
        clock.advance(by: .seconds(3600))
        #expect(try await limiter.attempt("a").isAllowed)
        if let receipt = lost.receipt { #expect(try await !limiter.refund(receipt), "it isn't the holder's any more") }
        #expect(try await !limiter.attempt("a").isAllowed)
    }

    @Test("a store that answers nothing fails the request instead of the process")
    func nothing() async throws {
        struct Empty: Store {
            let keyHasher = KeyHasher()

            func decide(_ charges: [Charge], into decisions: inout [Decision]) -> PendingAnswer<DecisionResult>? { nil }

            func apply(_ adjustment: Adjustment) -> StoreAnswer<Bool> { .decided(false) }
        }
        let limiter = SharedLimiter(try Limit("jobs", .perMinute(1)), store: Empty())
        await #expect(throws: StoreError.self) { try await limiter.attempt("a") }
    }

    @Test(
        "rows of wild numbers are brought into range, and never trap",
        arguments: [
            #"{"fixedWindow":{"_0":{"end":9223372036854775807,"used":9223372036854775807}}}"#,
            #"{"fixedWindow":{"_0":{"end":-9223372036854775808,"used":-9223372036854775808}}}"#,
            #"{"slidingWindow":{"_0":{"expires":9223372036854775807,"current":9223372036854775807,"previous":-1}}}"#,
            #"{"arrival":{"_0":{"low":18446744073709551615,"high":4294967295,"perTick":0,"isInDebt":true}}}"#,
            #"{"log":{"_0":{"entries":[{"time":5,"cost":9223372036854775807},{"time":-1,"cost":3}],"first":9,"used":-4,"expires":-7}}}"#,
            #"{"permits":{"_0":{"permits":[{"sequence":1,"cost":9223372036854775807}],"held":-9223372036854775808}}}"#,
        ])
    func wildRows(_ state: String) async throws {
        let row =
            #"{"state":\#(state),"sequence":18446744073709551615,"holds":[7,9223372036854775807],"leases":[7,-1,9,9223372036854775807],"#
            + #""spent":[3,1,2,2],"refused":0}"#
        for algorithm in Algorithm.allCases {
            let limit =
                algorithm == .concurrency
                ? try Limit("x", concurrency: 5) : try Limit("x", .perMinute(5), algorithm: algorithm)
            for now in [Instant.max, Instant(sinceEpoch: .seconds(1_790_000_000)), Instant(sinceEpoch: .zero)] {
                let store = TableStore(clock: ManualClock(at: now), template: Data(row.utf8))
                let limiter = SharedLimiter(limit, store: store)
                for cost in [1, Rate.maximumCount] {
                    let attempt = try await limiter.attempt("k", cost: cost)
                    #expect(attempt.remaining >= 0)
                    _ = try await limiter.charge(cost, to: "k")
                    if let receipt = attempt.receipt { _ = try await limiter.refund(receipt) }
                }
                _ = try await limiter.reset("k")
            }
        }
    }
}
