import Weir

extension StoreConformance {
    /// The rules for units that requests under way hold. A limit on requests in flight has none.
    static let holdRules: [Case] = [
        Case("held units count against the limit, and don't drain") { subject in
            for limit in try limits() where limit.algorithm != .concurrency && limit.algorithm != .leakyBucket {
                let (first, charge) = try await subject.hold(limit, cost: 6)
                try expect(first.isAllowed, "\(limit.name) holds 6 of 10")
                try expect(first.remaining, is: 4, "\(limit.name): remaining")
                try expect(
                    !(try await subject.hold(limit, cost: 5).0.isAllowed), "\(limit.name) has no room for 5 more")
                subject.clock.advance(by: .seconds(600))
                let later = try await subject.hold(limit, cost: 5).0
                try expect(!later.isAllowed, "\(limit.name) has no room for 5 ten minutes later")
                try expect(later.retryTicks, is: nil, "\(limit.name): waiting for time can't help")
                try expect(try await subject.peek(limit).remaining, is: 4, "\(limit.name): remaining later")
                try expect(
                    try await subject.hold(limit, "bob", cost: 10).0.isAllowed, "\(limit.name): bob has his own")
                guard let receipt = first.receipt else { throw ConformanceError("\(limit.name) gives no receipt") }
                try expect(
                    try await subject.apply(.settle(charge, receipt, actual: 0)), "\(limit.name) ends the hold")
                try expect(try await subject.peek(limit).remaining, is: 10, "\(limit.name): remaining at the end")
            }
        },
        Case("a peek that doesn't wait charges nothing, and never denies what a decision would allow") { subject in
            for limit in try limits(2) where limit.algorithm != .leakyBucket {
                for request in 1...3 {
                    let charge = subject.charge(limit)
                    let before = try await subject.peek(limit).remaining
                    var decisions: [Decision] = []
                    for _ in 0..<3 {
                        guard subject.store.peek([charge], into: &decisions) else { continue }
                        try expect(decisions.count, is: 1, "\(limit.name): decisions")
                        try expect(decisions[0].isAllowed, is: request <= 2, "\(limit.name) allows request \(request)")
                        try expect(decisions[0].receipt, is: nil, "\(limit.name): the receipt")
                    }
                    try expect(try await subject.peek(limit).remaining, is: before, "\(limit.name): remaining")
                    try expect(try await subject.decide(charge).isAllowed, is: request <= 2, "\(limit.name) decides")
                }
            }
        },
        Case("a hold is settled once, at what the request cost, when it ends") { subject in
            for limit in try limits() where limit.algorithm != .concurrency && limit.algorithm != .leakyBucket {
                let (decision, charge) = try await subject.hold(limit, cost: 8)
                guard let receipt = decision.receipt else { throw ConformanceError("\(limit.name) gives no receipt") }
                subject.clock.advance(by: .seconds(600))
                try expect(
                    try await subject.apply(.settle(charge, receipt, actual: 3)), "\(limit.name) settles")
                try expect(try await subject.peek(limit).remaining, is: 7, "\(limit.name): remaining")
                try expect(
                    !(try await subject.apply(.settle(charge, receipt, actual: 3))), "\(limit.name) settles only once")
                try expect(try await subject.peek(limit).remaining, is: 7, "\(limit.name): remaining as before")
            }
        },
        Case("retry-after assumes that holds stay") { subject in
            for limit in try limits() where limit.algorithm != .concurrency && limit.algorithm != .leakyBucket {
                _ = try await subject.hold(limit, cost: 4)
                try await subject.spend(limit, 6)
                let denied = try await subject.hold(limit, cost: 3).0
                guard let wait = denied.retryTicks else { throw ConformanceError("\(limit.name) has no retry-after") }
                subject.clock.advance(by: .microseconds(Timestamp(wait) - 1))
                try expect(!(try await subject.hold(limit, cost: 3).0.isAllowed), "\(limit.name) denies a tick before")
                subject.clock.advance(by: .microseconds(1))
                try expect(try await subject.hold(limit, cost: 3).0.isAllowed, "\(limit.name) allows at the instant")
            }
        },
        Case("a request that costs more than it held goes into debt") { subject in
            let limit = try Limit("dear", Rate(10, perTicks: 2 * second))
            let (decision, charge) = try await subject.hold(limit, cost: 2)
            guard let receipt = decision.receipt else { throw ConformanceError("no receipt") }
            try await subject.apply(.settle(charge, receipt, actual: 100))
            try expect(try await subject.decide(limit).retryTicks, is: Ticks(18_200_000), "100 units used, 10 allowed")
        },
        Case("a bucket that refilled while units were held gives nothing away") { subject in
            // A starts at 0, B at 4.16 s, and A ends at 4.4 s having cost nothing. D, after that, finds B's units held.
            let limit = try Limit("refilled", Rate(10, perTicks: 4 * second))
            let (first, charge) = try await subject.hold(limit, cost: 10)
            guard let receipt = first.receipt else { throw ConformanceError("no receipt") }
            subject.clock.advance(by: .milliseconds(4160))
            try expect(!(try await subject.hold(limit, cost: 10).0.isAllowed), "B is denied while A holds all")
            subject.clock.advance(by: .milliseconds(240))
            try await subject.apply(.settle(charge, receipt, actual: 0))
            try expect(try await subject.hold(limit, cost: 10).0.isAllowed, "D has them all")
            try expect(!(try await subject.hold(limit, cost: 1).0.isAllowed), "and nobody else")
        },
        Case("all limits of a request hold, or none does") { subject in
            let wide = try Limit("wide", .perMinute(100))
            let narrow = try Limit("narrow", .perMinute(3), algorithm: .fixedWindow)
            for number in 1...3 {
                let decisions = try await subject.decide([
                    subject.charge(wide, cost: 10, isHold: true), subject.charge(narrow, cost: 2, isHold: true),
                ])
                try expect(decisions[1].isAllowed, is: number == 1, "narrow's verdict on request \(number)")
                try expect(decisions[0].receipt != nil, is: number == 1, "whether wide holds for request \(number)")
            }
            try expect(try await subject.peek(wide).remaining, is: 90, "what wide has left")
        },
        Case("a reset leaves holds to their requests") { subject in
            for limit in try limits() where limit.algorithm != .concurrency && limit.algorithm != .leakyBucket {
                let (decision, charge) = try await subject.hold(limit, cost: 4)
                guard let receipt = decision.receipt else { throw ConformanceError("\(limit.name) gives no receipt") }
                try await subject.spend(limit, 6)
                try await subject.apply(.reset(limit.numbers, charge.key))
                try expect(try await subject.peek(limit).remaining, is: 6, "\(limit.name): remaining after the reset")
                try await subject.apply(.settle(charge, receipt, actual: 5))
                try expect(try await subject.peek(limit).remaining, is: 5, "\(limit.name): remaining at the end")
            }
        },
        Case("a leaky bucket's held units are slots at the end of its queue") { subject in
            let limit = try Limit("leak", Rate(1, perTicks: second), algorithm: .leakyBucket, maxWait: .seconds(10))
            let roomy = try Limit("roomy", .perSecond(10), algorithm: .leakyBucket, maxWait: .seconds(1))
            _ = try await subject.hold(limit, cost: 1)
            try expect(
                try await subject.decide(subject.charge(limit, countsHolds: true)).delayTicks, is: second,
                "the next one's")
            let (decision, charge) = try await subject.hold(roomy, cost: 10)
            guard let receipt = decision.receipt else { throw ConformanceError("no receipt") }
            try expect(
                try await subject.hold(roomy, cost: 5).0.delayTicks, is: second, "the delay behind ten held slots")
            let denied = try await subject.hold(roomy, cost: 1).0
            try expect(denied.retryTicks, is: nil, "retry-after while all slots are held")
            try await subject.apply(.settle(charge, receipt, actual: 2))
            try expect(
                try await subject.hold(roomy, cost: 1).0.delayTicks, is: 700_000, "behind two slots taken and five held"
            )
        },
    ]
}
