import NIOCore
import Weir

extension Batch {
    private typealias State = ScriptFormat.State

    /// Decodes the script's reply: one result for each operation, or nil if the reply is malformed.
    func results(_ reply: ByteBuffer) -> [StoreOperation.Outcome]? {
        var reply = reply
        guard let now = reply.readWhole(), (0...Instant.max.microseconds).contains(now) else { return nil }
        var results: [StoreOperation.Outcome] = []
        results.reserveCapacity(operations.count)
        for operation in operations {
            switch operation.work {
            case .decide(let charges, let id, _):
                var decisions: [Decision] = []
                decisions.reserveCapacity(charges.count)
                for (index, charge) in charges.enumerated() {
                    guard let answer = Answer(&reply) else { return nil }
                    var held: Int64 = 0
                    if charge.countsHolds {
                        guard let units = reply.readWhole() else { return nil }
                        held = min(max(units, 0), Int64(ScriptFormat.mostHeld))
                    }
                    let decision = answer.state(of: charge.numbers, now).decision(
                        of: charge, at: now, isCharged: answer.isCharged, sequence: StoreOperation.id(id, index),
                        held: held)
                    // If the two disagree, the reply isn't the script's.
                    guard decision.isAllowed == answer.isAllowed else { return nil }
                    decisions.append(decision)
                }
                results.append(.decisions(decisions))
            case .debit(let charge, _):
                guard let answer = Answer(&reply) else { return nil }
                results.append(.changed(answer.state(of: charge.numbers, now).isChanged(byDebit: charge, at: now)))
            case .refund, .reset, .renew, .settle, .credit:
                guard let answer = Answer(&reply) else { return nil }
                results.append(.changed(answer.isAllowed))
            }
        }
        return reply.readableBytes == 0 ? results : nil
    }

    /// One answer of the script.
    private struct Answer {
        let isAllowed: Bool
        let isCharged: Bool
        let first: Int64
        let second: Int64
        let third: Int64

        init?(_ reply: inout ByteBuffer) {
            guard let status = reply.readInteger(as: UInt8.self) else { return nil }
            if status == State.wholeBucket.rawValue || status == State.bucket.rawValue {
                // A charged token bucket, as it was stored: the arrival time, and the remainder and count unless it is
                // whole.
                guard let ticks = reply.readWhole() else { return nil }
                var remainder: UInt32 = 0
                if status == State.bucket.rawValue {
                    guard let rest = reply.readMultipleIntegers(endianness: .little, as: (UInt32, UInt32).self) else {
                        return nil
                    }
                    remainder = rest.0
                }
                (isAllowed, isCharged) = (true, true)
                (first, second, third) = (0, ticks, Int64(remainder))
                return
            }
            guard let first = reply.readWhole(), let second = reply.readWhole(), let third = reply.readWhole() else {
                return nil
            }
            isAllowed = status & ScriptFormat.Status.allowed != 0
            isCharged = status & ScriptFormat.Status.charged != 0
            self.first = first
            self.second = second
            self.third = third
        }

        /// The state, with every number in the range that the algorithms accept, whatever the server sent.
        func state(of numbers: LimitNumbers, _ now: Timestamp) -> RemoteState {
            let times: ClosedRange<Int64> = 0...(Instant.max.microseconds + 2 * Rate.maximumPeriodTicks)
            func clamp(_ value: Int64, _ range: ClosedRange<Int64>) -> Int64 {
                min(max(value, range.lowerBound), range.upperBound)
            }
            let counts: ClosedRange<Int64> = 0...(2 * Rate.maximumCount)
            // A log has an entry for each instant, and each may be debt.
            let sums: ClosedRange<Int64> = 0...(1 << 53)
            switch numbers.scriptKind {
            case .tokenBucket, .leakyBucket:
                return .arrival(
                    ticks: Int128(clamp(first, 0...(1 << 31))) << ScriptFormat.lowBits
                        + Int128(clamp(second, 0...(1 << 53))),
                    remainder: clamp(third, 0...(numbers.count - 1)))
            case .fixedWindow: return .fixedWindow(end: clamp(first, times), used: clamp(second, counts))
            case .slidingWindow:
                return .slidingWindow(
                    expires: clamp(first, times), current: clamp(second, counts), previous: clamp(third, counts))
            case .slidingLog:
                return .log(
                    used: clamp(first, sums), last: clamp(second, 0...now), release: clamp(third, 0...now))
            case .concurrency: return .permits(held: clamp(first, counts))
            }
        }
    }
}

extension ByteBuffer {
    /// Reads a double that holds a whole number within 2^62 of 0.
    fileprivate mutating func readWhole() -> Int64? {
        guard let bits = readInteger(endianness: .little, as: UInt64.self) else { return nil }
        let value = Double(bitPattern: bits)
        return abs(value) < 0x1p62 ? Int64(value) : nil
    }
}
