import NIOCore
import Weir

/// Several operations in one call of ``OperationScript``: packs its arguments, and takes its answer apart.
struct Batch {
    /// At how many operations a call is full: from here on the server gains little, and others wait longer.
    static let most = 128

    private(set) var operations: [Operation] = []
    /// The keys as the command holds them, and how many there are.
    private var keys = ByteBuffer()
    private var keyCount = 0
    private var limits: [LimitNumbers: UInt16] = [:]
    private var packedLimits = ByteBuffer()
    private var packedOperations = ByteBuffer()
    /// How many answers the script gives.
    private(set) var count = 0

    var isAsking: Bool { operations.first?.isAsking == true }

    mutating func append(_ operation: Operation, prefix: String) {
        operations.append(operation)
        switch operation.work {
        case .decide(let charges, let ids, _):
            for (index, charge) in charges.enumerated() {
                let flags: UInt8 =
                    (charge.isShadow ? 1 : 0) | (charge.countsDenied ? 2 : 0) | (index == charges.count - 1 ? 4 : 0)
                append(charge.key, prefix)
                pack(0, flags, charge.numbers, cost: charge.cost, required: charge.required)
                if charge.numbers.algorithm == .concurrency {
                    packedOperations.writeInteger(ids[index], endianness: .little)
                }
            }
        case .debit(let charge, _):
            append(charge.key, prefix)
            pack(1, 0, charge.numbers, cost: charge.cost, required: 0)
        case .refund(let charge, let receipt, _):
            append(charge.key, prefix)
            append(charge.key, prefix, suffix: ":\(String(receipt.sequence, radix: 16))")
            append(charge.key, prefix, suffix: ":x")
            pack(2, 0, charge.numbers, cost: charge.cost, required: 0)
            packedOperations.writeDouble(receipt.time)
            packedOperations.writeDouble(receipt.delay)
            packedOperations.writeInteger(receipt.sequence, endianness: .little)
        case .reset(let numbers, let key, _):
            append(key, prefix)
            append(key, prefix, suffix: ":x")
            pack(3, 0, numbers, cost: 0, required: 0)
        case .renew(let charge, let id):
            append(charge.key, prefix)
            pack(4, 0, charge.numbers, cost: charge.cost, required: 0)
            packedOperations.writeInteger(id, endianness: .little)
        }
    }

    private mutating func append(_ key: Key, _ prefix: String, suffix: String = "") {
        keyCount += 1
        keys.writeString("$\(prefix.utf8.count + Key.textLength + suffix.utf8.count)\r\n")
        keys.writeString(prefix)
        key.write(to: &keys)
        keys.writeString(suffix)
        keys.writeStaticString("\r\n")
    }

    private mutating func pack(_ code: UInt8, _ flags: UInt8, _ numbers: LimitNumbers, cost: Int64, required: Int64) {
        count += 1
        let most = 2 * numbers.capacity
        // More than twice the capacity is no different from twice, and fits.
        let nothing: (ticks: Int128, remainder: Int64) = (0, 0)
        let costSpan = numbers.isBucket ? numbers.worth(of: min(cost, code == 0 ? numbers.capacity : most)) : nothing
        let requiredSpan = numbers.isBucket ? numbers.worth(of: min(required, most)) : nothing
        let isPlain = required == cost && costSpan == requiredSpan && costSpan.ticks < 1 << 52
        packedOperations.writeInteger(code)
        packedOperations.writeInteger(flags | (isPlain ? 8 : 0))
        packedOperations.writeInteger(index(of: numbers), endianness: .little)
        packedOperations.writeInteger(UInt32(clamping: cost), endianness: .little)
        if numbers.isBucket {
            packedOperations.writeDouble(Int64(truncatingIfNeeded: costSpan.ticks & (1 << 52 - 1)))
            packedOperations.writeInteger(UInt32(clamping: costSpan.remainder), endianness: .little)
        }
        if isPlain { return }
        packedOperations.writeInteger(UInt32(clamping: required), endianness: .little)
        guard numbers.isBucket else { return }
        packedOperations.writeDouble(Int64(truncatingIfNeeded: costSpan.ticks >> 52))
        packedOperations.writeSpan(requiredSpan)
    }

    private mutating func index(of numbers: LimitNumbers) -> UInt16 {
        if let index = limits[numbers] { return index }
        let index = UInt16(truncatingIfNeeded: limits.count)
        limits[numbers] = index
        packedLimits.writeInteger(numbers.kindCode)
        packedLimits.writeInteger(UInt8(numbers.alignment == .firstRequest ? 1 : 0))
        packedLimits.writeInteger(UInt32(clamping: numbers.count), endianness: .little)
        packedLimits.writeDouble(numbers.period)
        packedLimits.writeSpan(numbers.worth(of: numbers.capacity))
        if numbers.algorithm == .leakyBucket {
            packedLimits.writeSpan((Int128(max(2 * numbers.period, numbers.maxWait + numbers.period)), 0))
        } else {
            packedLimits.writeSpan(numbers.worth(of: 2 * numbers.capacity))
        }
        packedLimits.writeDouble(numbers.maxWait)
        return index
    }

    /// The command, for a script that the server knows by this name.
    func command(script: ByteBuffer, time: Timestamp?, options: ScriptOptions) -> RESPCommand {
        var command = RESPCommand("EVALSHA", count: 2 + keyCount + 5)
        command.append(script)
        command.append(keyCount)
        command.append(arguments: keys)
        command.append(time.map(String.init) ?? "")
        command.append(options.slack)
        command.append(options.lease)
        command.append(packedLimits)
        command.append(packedOperations)
        return command
    }

    /// Takes the script's answer apart: one result for each operation; nil when it is not such an answer.
    func results(_ reply: ByteBuffer) -> [Operation.Outcome]? {
        var reply = reply
        guard reply.readableBytes == 8 + 25 * count, let now = reply.readWhole(), (0...Timestamp.latest).contains(now)
        else { return nil }
        var results: [Operation.Outcome] = []
        results.reserveCapacity(operations.count)
        for operation in operations {
            switch operation.work {
            case .decide(let charges, let ids, _):
                var decisions: [Decision] = []
                decisions.reserveCapacity(charges.count)
                for (index, charge) in charges.enumerated() {
                    guard let answer = Answer(&reply) else { return nil }
                    let decision = answer.state(of: charge.numbers, now).decision(
                        of: charge, at: now, isCharged: answer.isCharged, sequence: ids[index])
                    // The server's word counts.
                    guard decision.allowed == answer.isAllowed else { return nil }
                    decisions.append(decision)
                }
                results.append(.decisions(decisions))
            case .debit(let charge, _):
                guard let answer = Answer(&reply) else { return nil }
                results.append(.changed(answer.state(of: charge.numbers, now).isChanged(byDebit: charge, at: now)))
            case .refund, .reset, .renew:
                guard let answer = Answer(&reply) else { return nil }
                results.append(.changed(answer.isAllowed))
            }
        }
        return results
    }

    /// One of the script's answers.
    private struct Answer {
        let isAllowed: Bool
        let isCharged: Bool
        let first: Int64
        let second: Int64
        let third: Int64

        init?(_ reply: inout ByteBuffer) {
            guard let status = reply.readInteger(as: UInt8.self), let first = reply.readWhole(),
                let second = reply.readWhole(), let third = reply.readWhole()
            else { return nil }
            isAllowed = status & 1 != 0
            isCharged = status & 2 != 0
            self.first = first
            self.second = second
            self.third = third
        }

        /// The state, brought into the ranges that the algorithms can work with, whatever the server said.
        func state(of numbers: LimitNumbers, _ now: Timestamp) -> RemoteState {
            let times: ClosedRange<Int64> = 0...(Timestamp.latest + 2 * Rate.longestPeriod)
            func clamp(_ value: Int64, _ range: ClosedRange<Int64>) -> Int64 {
                min(max(value, range.lowerBound), range.upperBound)
            }
            let counts: ClosedRange<Int64> = 0...(2 * Rate.largestCount)
            switch numbers.kindCode {
            case 0, 1:
                return .arrival(
                    ticks: Int128(clamp(first, 0...(1 << 30))) << 52 + Int128(clamp(second, 0...(1 << 53))),
                    remainder: clamp(third, 0...(numbers.count - 1)))
            case 2: return .fixedWindow(end: clamp(first, times), used: clamp(second, counts))
            case 3:
                return .slidingWindow(
                    expires: clamp(first, times), current: clamp(second, counts), previous: clamp(third, counts))
            case 4:
                return .log(
                    used: clamp(first, counts), last: clamp(second, 0...now), release: clamp(third, 0...now))
            default: return .permits(held: clamp(first, counts))
            }
        }
    }
}

/// What the script is told with every call.
struct ScriptOptions {
    /// Milliseconds that a key outlives its use.
    var slack: Int64 = 1000
    /// Microseconds that a permit is held without being renewed.
    var lease: Int64 = 30_000_000
}

extension LimitNumbers {
    /// Which of the script's kinds this is.
    fileprivate var kindCode: UInt8 {
        switch algorithm {
        case .tokenBucket: 0
        case .leakyBucket: 1
        case .fixedWindow: 2
        case .slidingWindow: 3
        case .slidingLog: 4
        default: 5
        }
    }

    fileprivate var isBucket: Bool { kindCode <= 1 }
}

extension Key {
    /// The key's name on the server: a hash of 128 bits, in a slot by its first dimension. Nothing in it was chosen by a
    /// client.
    func text(_ prefix: String) -> String {
        var buffer = ByteBuffer()
        write(to: &buffer)
        return prefix + String(buffer: buffer)
    }

    /// `{xx}:` and 32 digits.
    static let textLength = 37

    func write(to buffer: inout ByteBuffer) {
        buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: Self.textLength) { bytes in
            func digit(_ word: UInt64, _ place: UInt64) -> UInt8 {
                let digit = UInt8(truncatingIfNeeded: word >> (60 - 4 * place)) & 15
                return digit < 10 ? 48 + digit : 87 + digit
            }
            bytes[0] = UInt8(ascii: "{")
            bytes[1] = digit(partition, 0)
            bytes[2] = digit(partition, 1)
            bytes[3] = UInt8(ascii: "}")
            bytes[4] = UInt8(ascii: ":")
            for place in 0..<16 {
                bytes[5 + place] = digit(high, UInt64(place))
                bytes[21 + place] = digit(low, UInt64(place))
            }
            return Self.textLength
        }
    }

    /// One of 256 groups of keys that share a cluster's slot, so that decisions about many clients can share a call.
    var tag: Int { Int(partition >> 56) }
}

extension ByteBuffer {
    fileprivate mutating func writeDouble(_ value: Int64) {
        writeInteger(Double(value).bitPattern, endianness: .little)
    }

    fileprivate mutating func writeSpan(_ span: (ticks: Int128, remainder: Int64)) {
        writeDouble(Int64(truncatingIfNeeded: span.ticks >> 52))
        writeDouble(Int64(truncatingIfNeeded: span.ticks & (1 << 52 - 1)))
        writeInteger(UInt32(clamping: span.remainder), endianness: .little)
    }

    /// A double that is a whole number within 2^62 of 0.
    fileprivate mutating func readWhole() -> Int64? {
        guard let bits = readInteger(endianness: .little, as: UInt64.self) else { return nil }
        let value = Double(bitPattern: bits)
        return abs(value) < 0x1p62 ? Int64(value) : nil
    }
}
