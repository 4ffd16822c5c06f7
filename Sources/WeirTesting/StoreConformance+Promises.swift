import Weir

extension StoreConformance {
    /// The rule that holds one algorithm to its promise. A new algorithm doesn't compile without one.
    static func promise(of kind: Algorithm.Kind) -> Case {
        switch kind {
        case .tokenBucket: tokenBucket
        case .fixedWindow: fixedWindow
        case .slidingLog: slidingLog
        case .slidingWindow: slidingWindow
        case .leakyBucket: leakyBucket
        case .concurrency: concurrency
        }
    }

    private static let tokenBucket = Case("a token bucket admits its burst, and then no more than its rate") {
        subject in
        let limit = try Limit("bucket", Rate(10, perTicks: 60 * second, burst: 3))
        try await subject.spend(limit, 3)
        let denied = try await subject.decide(limit)
        try expect(!denied.isAllowed, "the fourth is denied")
        try expect(denied.retryTicks, is: Ticks(6 * second), "retry-after of the fourth")
        subject.clock.advance(by: .seconds(9))
        try await subject.spend(limit, 1)
        try expect(try await subject.decide(limit).retryTicks, is: Ticks(3 * second), "retry-after half a token later")
        subject.clock.advance(by: .seconds(60))
        try await subject.spend(limit, 3)
        try expect(!(try await subject.decide(limit).isAllowed), "a long pause saves up the burst and no more")
    }

    private static let fixedWindow = Case("a fixed window is full again when the next begins, and not before") {
        subject in
        for alignment in [WindowAlignment.epoch, .firstRequest] {
            let limit = try Limit(
                alignment == .epoch ? "epoch" : "first", .perMinute(10), algorithm: .fixedWindow, alignment: alignment)
            // Move to half a minute after a minute's start.
            subject.clock.advance(by: .microseconds(90 * second - subject.clock.timestamp % (60 * second)))
            try await subject.spend(limit, 10)
            let wait = (alignment == .epoch ? 30 : 60) * second
            try expect(try await subject.decide(limit).retryTicks, is: Ticks(wait), "\(limit.name): retry-after")
            subject.clock.advance(by: .microseconds(wait - 1))
            try expect(!(try await subject.decide(limit).isAllowed), "\(limit.name) denies in the window's last tick")
            subject.clock.advance(by: .microseconds(1))
            try await subject.spend(limit, 10)
        }
    }

    private static let slidingLog = Case("a sliding log gives each unit back one period after it was spent") {
        subject in
        let limit = try Limit("log", .perMinute(10), algorithm: .slidingLog)
        try await subject.spend(limit, 6)
        subject.clock.advance(by: .seconds(20))
        try await subject.spend(limit, 4)
        try expect(try await subject.decide(limit).retryTicks, is: Ticks(40 * second), "retry-after of one")
        try expect(try await subject.decide(limit, cost: 7).retryTicks, is: Ticks(60 * second), "retry-after of seven")
        subject.clock.advance(by: .seconds(40))
        try await subject.spend(limit, 6)
        try expect(try await subject.decide(limit).retryTicks, is: Ticks(20 * second), "retry-after of the next one")
    }

    private static let slidingWindow = Case("a sliding window counts the window before by its overlap") { subject in
        let limit = try Limit("sliding", .perMinute(10), algorithm: .slidingWindow)
        subject.clock.advance(by: .microseconds(60 * second - subject.clock.timestamp % (60 * second)))
        try await subject.spend(limit, 10)
        subject.clock.advance(by: .seconds(90))
        // Half of the previous window still overlaps the last minute.
        try expect(try await subject.decide(limit, cost: 0).remaining, is: 5, "remaining half a window later")
        try await subject.spend(limit, 5)
        // Five count in this window. A sixth fits once at most four of the previous window count.
        try expect(try await subject.decide(limit).retryTicks, is: Ticks(6 * second), "retry-after")
    }

    private static let leakyBucket = Case(
        "a leaky bucket gives slots apart by period ÷ count, and denies beyond its longest wait"
    ) { subject in
        let limit = try Limit("leak", .perMinute(7), algorithm: .leakyBucket, maxWait: .seconds(20))
        var slots: [Timestamp] = []
        for _ in 0..<4 {
            let decision = try await subject.decide(limit)
            if decision.isAllowed { slots.append(decision.delayTicks) }
        }
        // 60 s ÷ 7, each rounded up to a tick.
        try expect(slots, is: [0, 8_571_429, 17_142_858], "slots")
        let denied = try await subject.decide(limit)
        try expect(denied.retryTicks, is: 5_714_286, "retry-after")
    }

    private static let concurrency = Case("permits come back by their receipts, each once") { subject in
        let limit = try Limit("flight", concurrency: 2)
        let charge = subject.charge(limit)
        guard let first = try await subject.decide(charge).receipt,
            let second = try await subject.decide(charge).receipt
        else { throw ConformanceError("no receipts") }
        try expect(!(try await subject.decide(charge).isAllowed), "a third is denied")
        try await subject.apply(.refund(charge, first))
        try await subject.apply(.refund(charge, first))
        try expect(try await subject.decide(charge).isAllowed, "one comes back")
        try expect(!(try await subject.decide(charge).isAllowed), "and only one")
        try await subject.apply(.refund(charge, second))
        try expect(try await subject.decide(charge).isAllowed, "then the other")
    }
}
