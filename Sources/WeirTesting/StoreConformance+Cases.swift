import Weir

extension StoreConformance {
    /// All rules: those for every algorithm, and each algorithm's own promise.
    public static let cases: [Case] = rules + holdRules + Algorithm.Kind.allCases.map(promise(of:))

    private static let rules: [Case] = [
        Case("each algorithm admits its limit at one instant and then denies") { subject in
            for limit in try limits() where limit.algorithm != .leakyBucket {
                try await subject.spend(limit, 10)
                let denied = try await subject.decide(limit)
                try expect(!denied.isAllowed, "\(limit.name) denies the eleventh")
                try expect(denied.remaining, is: 0, "\(limit.name): remaining")
                try expect(denied.quota, is: 10, "\(limit.name): limit")
            }
        },
        Case("retry-after is exact: denied one tick before, allowed at the instant") { subject in
            for limit in try limits() where limit.algorithm != .concurrency {
                while try await subject.decide(limit).isAllowed {}
                let denied = try await subject.decide(limit)
                guard let wait = denied.retryTicks else {
                    throw ConformanceError("\(limit.name) has no retry-after")
                }
                subject.clock.advance(by: .microseconds(Timestamp(wait) - 1))
                try expect(!(try await subject.decide(limit).isAllowed), "\(limit.name) denies one tick before")
                subject.clock.advance(by: .microseconds(1))
                try expect(try await subject.decide(limit).isAllowed, "\(limit.name) allows at the instant")
            }
        },
        Case("after reset-after the full quota is back") { subject in
            for limit in try limits() where limit.algorithm != .concurrency {
                let before = try await subject.decide(limit, cost: 0)
                try expect(before.resetTicks, is: 0, "\(limit.name): resetAfter of an unused key")
                for _ in 0..<3 { _ = try await subject.decide(limit) }
                let used = try await subject.decide(limit, cost: 0)
                subject.clock.advance(by: .microseconds(Timestamp(used.resetTicks ?? 0)))
                let after = try await subject.decide(limit, cost: 0)
                try expect(after.remaining, is: before.remaining, "\(limit.name): remaining after the reset")
                try expect(after.resetTicks, is: 0, "\(limit.name): resetAfter after the reset")
            }
        },
        Case("a peek changes nothing") { subject in
            for limit in try limits() {
                try await subject.spend(limit, 2)
                let first = try await subject.decide(limit, cost: 0)
                let second = try await subject.decide(limit, cost: 0)
                try expect(first.isAllowed && second.isAllowed, "\(limit.name) allows a peek")
                try expect(second.remaining, is: first.remaining, "\(limit.name): remaining after a peek")
                try expect(first.receipt == nil, "\(limit.name): a peek has no receipt")
            }
        },
        Case("a denied request charges nothing") { subject in
            for limit in try limits() where limit.algorithm != .leakyBucket {
                try await subject.spend(limit, 7)
                for _ in 0..<5 {
                    try expect(!(try await subject.decide(limit, cost: 4).isAllowed), "\(limit.name) denies 4 of 3")
                }
                try expect(try await subject.decide(limit, cost: 3).isAllowed, "\(limit.name) still has 3")
            }
        },
        Case("a cost above the capacity is denied without a retry-after") { subject in
            for limit in try limits() {
                let decision = try await subject.decide(limit, cost: 11)
                try expect(!decision.isAllowed, "\(limit.name) denies it")
                try expect(decision.retryTicks, is: nil, "\(limit.name): retry-after")
            }
        },
        Case("each key is counted separately") { subject in
            for limit in try limits() {
                try await subject.spend(limit, 10, "alice")
                try await subject.spend(limit, 10, "bob")
            }
        },
        Case("several limits decide together: all are charged or none is") { subject in
            for wide in try limits(100) {
                let narrow = try Limit("narrow", .perMinute(3), algorithm: .fixedWindow)
                let key = wide.name
                let before = try await subject.decide(wide, key, cost: 0).remaining
                for number in 1...5 {
                    let decisions = try await subject.decide([subject.charge(wide, key), subject.charge(narrow, key)])
                    try expect(decisions.count, is: 2, "decisions")
                    try expect(decisions[0].isAllowed, "\(wide.name) allows")
                    try expect(decisions[1].isAllowed, is: number <= 3, "narrow's verdict on request \(number)")
                    try expect(decisions[0].receipt != nil, is: number <= 3, "whether \(wide.name) was charged")
                }
                let after = try await subject.decide(wide, key, cost: 0).remaining
                try expect(before - after, is: 3, "what \(wide.name) was charged")
            }
        },
        Case("a shadow limit never stops the others, and is charged only with them") { subject in
            let shadow = try Limit("shadow", .perMinute(2), algorithm: .fixedWindow)
            let enforced = try Limit("enforced", .perMinute(4), algorithm: .fixedWindow)
            for number in 1...6 {
                let decisions = try await subject.decide([
                    subject.charge(shadow, shadow: true), subject.charge(enforced),
                ])
                try expect(decisions[0].isAllowed, is: number <= 2, "shadow's verdict on request \(number)")
                try expect(decisions[1].isAllowed, is: number <= 4, "enforced's verdict on request \(number)")
            }
            let alone = try Limit("alone", .perMinute(1), algorithm: .fixedWindow)
            _ = try await subject.decide(alone)
            let free = try Limit("free", .perMinute(9), algorithm: .fixedWindow)
            _ = try await subject.decide([subject.charge(free, shadow: true), subject.charge(alone)])
            try expect(
                try await subject.decide(free, cost: 0).remaining, is: 9, "what a shadow limit has after a denial")
        },
        Case("count_denied charges the denying limit up to its capacity, and retry-after includes it") { subject in
            let limit = try Limit("penal", .perMinute(10))
            for _ in 0..<10 { _ = try await subject.decide(limit) }
            subject.clock.advance(by: .seconds(30))
            let penalized = try await subject.decide(subject.charge(limit, cost: 6, countsDenied: true))
            try expect(!penalized.isAllowed, "6 of 5 is denied")
            try expect(penalized.retryTicks, is: Ticks(36 * second), "retry-after with the penalty")
            let again = try await subject.decide(subject.charge(limit, cost: 6, countsDenied: true))
            try expect(again.retryTicks, is: Ticks(36 * second), "a penalty never goes into debt")
            try expect(try await subject.decide(limit, cost: 0).isAllowed, "a peek is allowed, since there is no debt")
        },
        Case("a refund gives back once, and never above capacity") { subject in
            for limit in try limits() where limit.algorithm != .leakyBucket {
                let charge = subject.charge(limit, cost: 4)
                let decision = try await subject.decide(charge)
                guard let receipt = decision.receipt else {
                    throw ConformanceError("\(limit.name) gives no receipt")
                }
                try expect(try await subject.apply(.refund(charge, receipt)), "\(limit.name) refunds")
                try expect(try await subject.decide(limit, cost: 0).remaining, is: 10, "\(limit.name): remaining")
                try await subject.spend(limit, 5)
                try expect(!(try await subject.apply(.refund(charge, receipt))), "\(limit.name) refunds only once")
                try expect(try await subject.decide(limit, cost: 0).remaining, is: 5, "\(limit.name): remaining later")
            }
        },
        Case("a refund after a reset gives nothing back") { subject in
            for limit in try limits() {
                let charge = subject.charge(limit, cost: 4)
                let decision = try await subject.decide(charge)
                guard let receipt = decision.receipt else {
                    throw ConformanceError("\(limit.name) gives no receipt")
                }
                try expect(try await subject.apply(.reset(limit.numbers, charge.key)), "\(limit.name) resets")
                try await subject.spend(limit, 4)
                let before = try await subject.decide(limit, cost: 0).remaining
                _ = try await subject.apply(.refund(charge, receipt))
                try expect(
                    try await subject.decide(limit, cost: 0).remaining, is: before,
                    "\(limit.name): remaining after the refund")
            }
        },
        Case("a refund after its window's end gives nothing back") { subject in
            for limit in try limits() where forgetsCharges(limit.algorithm.kind) {
                let charge = subject.charge(limit, cost: 4)
                guard let receipt = try await subject.decide(charge).receipt else {
                    throw ConformanceError("\(limit.name) gives no receipt")
                }
                subject.clock.advance(by: .seconds(60))
                try await subject.spend(limit, 3)
                let before = try await subject.decide(limit, cost: 0).remaining
                try expect(!(try await subject.apply(.refund(charge, receipt))), "\(limit.name) refuses")
                try expect(try await subject.decide(limit, cost: 0).remaining, is: before, "\(limit.name): remaining")
            }
        },
        Case("a reset gives the whole limit back at once") { subject in
            for limit in try limits() where limit.algorithm != .leakyBucket {
                try await subject.spend(limit, 10)
                try await subject.apply(.reset(limit.numbers, subject.charge(limit).key))
                try await subject.spend(limit, 10)
            }
        },
        Case("a debit goes into debt, which only a token bucket pays beyond its period, and only debt denies a peek") {
            subject in
            for limit in try limits() where limit.algorithm != .concurrency && limit.algorithm != .leakyBucket {
                try await subject.spend(limit, 10)
                try expect(
                    try await subject.decide(limit, cost: 0).isAllowed, "\(limit.name): an empty limit allows a peek")
                try await subject.apply(.debit(subject.charge(limit, cost: 1)))
                try expect(!(try await subject.decide(limit, cost: 0).isAllowed), "\(limit.name): debt denies a peek")
                let first = try await subject.decide(limit).retryTicks
                for _ in 0..<5 { try await subject.apply(.debit(subject.charge(limit, cost: 1_000_000_000))) }
                guard let wait = try await subject.decide(limit).retryTicks, let first else {
                    throw ConformanceError("\(limit.name): debt must have a retry-after")
                }
                try expect(wait >= first, "\(limit.name): more debt is a longer wait")
                // Ten units are sixty seconds, and the debt is a hundred times the capacity at most.
                let most: Timestamp = limit.algorithm == .tokenBucket ? (6 + 100 * 60) * second : 121 * second
                try expect(wait <= Ticks(most), "\(limit.name): debt ends")
                if limit.algorithm == .tokenBucket { try expect(wait, is: Ticks(most), "the bucket's longest debt") }
            }
        },
        Case("a token bucket pays its debt in full, and a reset ends it") { subject in
            let limit = try Limit("indebted", Rate(10, perTicks: 2 * second))
            try await subject.spend(limit, 1)
            try await subject.apply(.debit(subject.charge(limit, cost: 100)))
            try expect(try await subject.decide(limit).retryTicks, is: Ticks(18_400_000), "101 units used, 10 allowed")
            subject.clock.advance(by: .microseconds(18_400_000 - 1))
            try expect(!(try await subject.decide(limit).isAllowed), "it is denied until the rate has caught up")
            subject.clock.advance(by: .microseconds(1))
            try expect(try await subject.decide(limit).isAllowed, "then it is allowed")
            try await subject.apply(.debit(subject.charge(limit, cost: 100)))
            try await subject.apply(.reset(limit.numbers, subject.charge(limit).key))
            try expect(try await subject.decide(limit, cost: 0).remaining, is: 10, "remaining after a reset")
            let bounded = try Limit("bounded", Rate(10, perTicks: 2 * second), mostDebt: 15)
            try await subject.apply(.debit(subject.charge(bounded, cost: 1000)))
            try expect(
                try await subject.decide(bounded, cost: 0).resetTicks, is: Ticks(5 * second),
                "a capacity and fifteen units of debt")
        },
        Case("a refund gives back only what time has not, and within an hour") { subject in
            let limit = try Limit("restored", .perMinute(10))
            let charge = subject.charge(limit, cost: 10)
            guard let receipt = try await subject.decide(charge).receipt else { throw ConformanceError("no receipt") }
            subject.clock.advance(by: .seconds(30))
            try await subject.spend(limit, 5)
            try expect(try await subject.apply(.refund(charge, receipt)), "half of it is refunded")
            try expect(try await subject.decide(limit, cost: 0).remaining, is: 5, "remaining after the refund")
            guard let late = try await subject.decide(limit, cost: 5).receipt else {
                throw ConformanceError("no receipt")
            }
            subject.clock.advance(by: .seconds(30))
            try expect(
                !(try await subject.apply(.refund(subject.charge(limit, cost: 5), late))), "nothing is left of it")
            let slow = try Limit("slow", Rate(10, perTicks: 86_400 * second))
            guard let old = try await subject.decide(slow).receipt else { throw ConformanceError("no receipt") }
            subject.clock.advance(by: .microseconds(3600 * second + 1))
            try expect(!(try await subject.apply(.refund(subject.charge(slow), old))), "a receipt lives an hour")
        },
        Case("a credit gives units back without a receipt, and never above capacity") { subject in
            for limit in try limits() where limit.algorithm != .concurrency && limit.algorithm != .leakyBucket {
                try expect(
                    !(try await subject.apply(.credit(subject.charge(limit, cost: 3)))), "\(limit.name): nothing used")
                try await subject.spend(limit, 8)
                try expect(
                    try await subject.apply(.credit(subject.charge(limit, cost: 3))), "\(limit.name) gives back")
                try expect(try await subject.decide(limit, cost: 0).remaining, is: 5, "\(limit.name): remaining")
                try await subject.apply(.credit(subject.charge(limit, cost: 1_000_000_000)))
                let full = try await subject.decide(limit, cost: 0)
                try expect(full.remaining, is: 10, "\(limit.name): remaining after a large credit")
                try expect(full.resetTicks, is: 0, "\(limit.name): reset after a large credit")
                try await subject.spend(limit, 10)
                try expect(!(try await subject.decide(limit).isAllowed), "\(limit.name) has no more than its capacity")
            }
        },
        Case("numbers may change and the state is kept") { subject in
            let slow = try Limit("changing", .perMinute(10))
            let fast = try Limit("changing", .perMinute(20))
            try await subject.spend(slow, 5)
            // 5 of 10 per minute are worth 30 s, and 30 s are worth 10 at 20 per minute.
            try expect(try await subject.decide(fast, cost: 0).remaining, is: 10, "remaining by the new numbers")
            let window = try Limit("window", .perMinute(10), algorithm: .fixedWindow)
            let wider = try Limit("window", .perMinute(20), algorithm: .fixedWindow)
            try await subject.spend(window, 5)
            try expect(try await subject.decide(wider, cost: 0).remaining, is: 15, "remaining in a wider window")
        },
        Case("a clock that goes back gives no quota and locks nobody out for long") { subject in
            for limit in try limits() where limit.algorithm != .concurrency && limit.algorithm != .leakyBucket {
                try await subject.spend(limit, 10)
                subject.clock.advance(by: .seconds(-3600))
                try expect(!(try await subject.decide(limit).isAllowed), "\(limit.name) gives no quota")
                subject.clock.advance(by: .seconds(181))
                try expect(
                    try await subject.decide(limit).isAllowed, "\(limit.name) locks out for at most three periods")
                subject.clock.advance(by: .seconds(3600))
            }
        },
        Case("a debit of a leaky bucket reaches at most its longest wait plus one capacity") { subject in
            let limit = try Limit(
                "long", Rate(1, perTicks: second), algorithm: .leakyBucket, maxWait: .seconds(10))
            try await subject.apply(.debit(subject.charge(limit, cost: 5)))
            try expect(
                try await subject.decide(limit, cost: 0).resetTicks, is: Ticks(5 * second), "five slots are taken")
            try await subject.apply(.debit(subject.charge(limit, cost: 1_000_000_000)))
            try expect(
                try await subject.decide(limit, cost: 0).resetTicks, is: Ticks(11 * second), "no more than that")
        },
    ]

    /// Whether the algorithm forgets a charge after one period, so that a late refund gives nothing back.
    private static func forgetsCharges(_ kind: Algorithm.Kind) -> Bool {
        switch kind {
        case .fixedWindow, .slidingWindow, .slidingLog: true
        case .tokenBucket, .leakyBucket, .concurrency: false
        }
    }
}
