import NIOCore
import Testing

@testable import WeirRedis

/// One event, or one question with its answer, a line. Times are microseconds.
@Suite("When a batch is sent")
struct BatchPacingTests {
    private var pacing = BatchPacing(BatchPacing.Options())

    private func at(_ time: Int64) -> NIODeadline { .uptimeNanoseconds(1_000_000_000) + .microseconds(time) }

    private func step(_ waiting: Int, isFull: Bool = false, at time: Int64) -> BatchPacing.Step {
        pacing.step(waiting: waiting, isFull: isFull, at: at(time))
    }

    private func gather(until time: Int64, missing: Int) -> BatchPacing.Step {
        .gather(BatchPacing.Gathering(until: at(time), missing: missing))
    }

    private mutating func sent(_ count: Int, at time: Int64) { pacing.sent(count, at: at(time)) }

    @Test("with little in flight, a batch goes at once")
    mutating func littleLoad() {
        #expect(step(0, at: 0) == .wait)
        #expect(step(1, at: 0) == .send)
        sent(1, at: 0)
        #expect(step(0, at: 1) == .wait)
        #expect(step(1, at: 1) == .send)
        sent(6, at: 1)
        #expect(step(0, at: 2) == .wait)
    }

    @Test("two batches are in flight at most")
    mutating func mostInFlight() {
        sent(1, at: 0)
        sent(1, at: 0)
        #expect(step(1, at: 0) == .wait)
        #expect(step(1000, isFull: true, at: 0) == .wait)
        pacing.answered(1)
        #expect(step(1, at: 0) == .send)
    }

    @Test("behind eight operations in flight, the next batch gathers until it holds 24, or for a millisecond")
    mutating func busy() {
        sent(7, at: 0)
        #expect(step(1, at: 0) == .send)
        sent(1, at: 10)
        #expect(step(0, at: 10) == gather(until: 1010, missing: 24))
        pacing.answered(7)
        #expect(step(1, at: 10) == .send)
        sent(8, at: 20)
        pacing.answered(1)
        #expect(step(0, at: 20) == gather(until: 1020, missing: 24))
        #expect(step(1, at: 20) == gather(until: 1020, missing: 23))
        #expect(step(23, at: 1019) == gather(until: 1020, missing: 1))
        #expect(step(24, at: 20) == .send)
        #expect(step(23, isFull: true, at: 20) == .send)
        #expect(step(1, at: 1020) == .send)
        #expect(step(0, at: 1020) == .wait)
    }

    @Test("behind two batches in flight, operations gather, and enough of them are noticed")
    mutating func behindTwo() {
        sent(8, at: 0)
        sent(24, at: 0)
        #expect(step(0, at: 1) == gather(until: 1000, missing: 24))
        #expect(step(30, at: 1) == gather(until: 1000, missing: -6))
        #expect(step(30, at: 1000) == .wait)
    }

    @Test("while large batches follow each other closely, the next gathers with nothing in flight")
    mutating func flowing() {
        sent(24, at: 0)
        pacing.answered(24)
        #expect(step(1, at: 0) == .send)
        sent(24, at: 999)
        pacing.answered(24)
        #expect(step(1, at: 999) == gather(until: 1999, missing: 23))
        #expect(step(0, at: 999) == gather(until: 1999, missing: 24))
        #expect(step(24, at: 1000) == .send)
        #expect(step(1, at: 1999) == .send)
    }

    @Test("after a small batch, or one that gathered in vain, the next goes at once")
    mutating func flowingEnds() {
        sent(24, at: 0)
        sent(24, at: 999)
        pacing.answered(24)
        pacing.answered(24)
        sent(24, at: 1999)
        pacing.answered(24)
        #expect(step(1, at: 1999) == .send)
        sent(24, at: 2000)
        pacing.answered(24)
        #expect(step(1, at: 2000) == gather(until: 3000, missing: 23))
        sent(23, at: 2001)
        pacing.answered(23)
        #expect(step(1, at: 2001) == .send)
    }

    @Test("nothing gathers for a server that has stopped answering in time")
    mutating func mayNotGather() {
        sent(8, at: 0)
        #expect(step(1, at: 0) == gather(until: 1000, missing: 23))
        #expect(pacing.step(waiting: 1, isFull: false, mayGather: false, at: at(0)) == .send)
        #expect(pacing.step(waiting: 0, isFull: false, mayGather: false, at: at(0)) == .wait)
    }

    @Test("a lost connection leaves nothing in flight, and nothing to gather for")
    mutating func lost() {
        sent(24, at: 0)
        sent(24, at: 1)
        #expect(step(1, at: 1) == gather(until: 1001, missing: 23))
        pacing.reset()
        #expect(step(1, at: 1) == .send)
    }

    @Test("in a cluster nothing gathers, and 64 batches are in flight")
    mutating func cluster() {
        pacing = BatchPacing(BatchPacing.Options(isCluster: true))
        for _ in 0..<63 { sent(24, at: 0) }
        #expect(step(1, at: 0) == .send)
        sent(24, at: 0)
        #expect(step(1, at: 0) == .wait)
    }

    @Test("operations gather for a quarter of the deadline at most")
    func deadline() {
        #expect(BatchPacing.Options(deadline: .milliseconds(50)).gatheringTime == .milliseconds(1))
        #expect(BatchPacing.Options(deadline: .milliseconds(2)).gatheringTime == .microseconds(500))
    }

    @Test("an operation joins the others without waking anybody until the time is over or enough have come")
    func goesOn() {
        let gathering = BatchPacing.Gathering(until: at(1000), missing: 3)
        #expect(gathering.goesOn(with: 1, at: at(0)))
        #expect(gathering.goesOn(with: 2, at: at(999)))
        #expect(!gathering.goesOn(with: 3, at: at(0)))
        #expect(!gathering.goesOn(with: 1, at: at(1000)))
        #expect(!BatchPacing.Gathering(until: at(1000), missing: 0).goesOn(with: 1, at: at(0)))
    }
}
