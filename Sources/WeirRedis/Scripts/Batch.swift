import NIOCore
import Weir

/// Several operations in one call of ``OperationScript``: packs its arguments, and takes its answer apart.
struct Batch {
    /// At how many operations a call is full: from here on the server gains little, and others wait longer.
    static let most = 128

    private(set) var operations: [StoreOperation] = []
    /// The keys as the command holds them, and how many there are.
    private var keys = ByteBuffer()
    private var keyCount = 0
    private var limits: [LimitNumbers: UInt16] = [:]
    private var packedLimits = ByteBuffer()
    private var packedOperations = ByteBuffer()
    /// How many answers the script gives.
    private(set) var count = 0
    private var run = Run()
    private var recent: [Packed] = []
    /// What most keys begin with in the command: their length, and the prefix.
    private var keyHead: [UInt8] = []
    private var seen = SeenKeys()

    /// The decision that was packed last, if it stands for several keys.
    private struct Run {
        /// The first of them.
        var key: Key?
        var numbers: LimitNumbers?
        var cost: Int64 = 0
        var length: UInt16 = 0
        /// Where its length is written.
        var place = 0
    }

    /// A decision that was packed before, which others are often equal to.
    private struct Packed {
        var numbers: LimitNumbers
        var cost: Int64
        var required: Int64
        var isPlain: Bool
        var place: Int
        var length: Int

        /// How many are looked through: about as many as a request has limits.
        static let most = 8
    }

    var isAsking: Bool { operations.first?.isAsking == true }

    mutating func append(_ operation: StoreOperation, prefix: String) {
        operations.append(operation)
        switch operation.work {
        case .decide(let charges, let id, _):
            if charges.count == 1, appendToRun(charges[0], prefix) { return }
            for (index, charge) in charges.enumerated() {
                let flags: UInt8 =
                    (charge.isShadow ? 1 : 0) | (charge.countsDenied ? 2 : 0) | (index == charges.count - 1 ? 4 : 0)
                let isSeen = append(charge.key, prefix)
                pack(0, flags | isSeen, charge.numbers, cost: charge.cost, required: charge.required)
                if charge.numbers.algorithm.kind == .concurrency {
                    packedOperations.writeInteger(StoreOperation.id(id, index), endianness: .little)
                }
            }
        case .debit(let charge, _):
            let isSeen = append(charge.key, prefix)
            pack(1, isSeen, charge.numbers, cost: charge.cost, required: 0)
        case .refund(let charge, let receipt, _):
            let isSeen = append(charge.key, prefix)
            append(charge.key, prefix, suffix: ":\(String(receipt.sequence, radix: 16))")
            append(charge.key, prefix, suffix: ":x")
            pack(2, isSeen, charge.numbers, cost: charge.cost, required: 0)
            packedOperations.writeDouble(receipt.time)
            packedOperations.writeDouble(receipt.delay)
            packedOperations.writeInteger(receipt.sequence, endianness: .little)
        case .reset(let numbers, let key, _):
            let isSeen = append(key, prefix)
            append(key, prefix, suffix: ":x")
            pack(3, isSeen, numbers, cost: 0, required: 0)
        case .renew(let charge, let id):
            let isSeen = append(charge.key, prefix)
            pack(4, isSeen, charge.numbers, cost: charge.cost, required: 0)
            packedOperations.writeInteger(id, endianness: .little)
        }
    }

    /// Appends a key. Returns the flag of one that may have come up before.
    private mutating func append(_ key: Key, _ prefix: String) -> UInt8 {
        append(key, prefix, suffix: "")
        return seen.insert(key) ? 0 : 32
    }

    /// The commonest operation, one token bucket of a key that is surely new here, is packed once for all keys that have it.
    private mutating func appendToRun(_ charge: Charge, _ prefix: String) -> Bool {
        guard !charge.isShadow, !charge.countsDenied, charge.required == charge.cost, charge.cost > 0 else {
            return false
        }
        let goesOn =
            run.length > 0 && run.length < .max && run.cost == charge.cost && run.numbers == charge.numbers
        if !goesOn {
            guard charge.numbers.algorithm.kind == .tokenBucket, charge.cost <= charge.numbers.capacity,
                charge.numbers.worth(of: charge.cost).ticks < 1 << 52
            else { return false }
        }
        guard seen.insert(charge.key) else {
            if run.length == 1, run.key == charge.key { dissolveRun() }
            return false
        }
        append(charge.key, prefix, suffix: "")
        if goesOn {
            count += 1
            run.length += 1
            packedOperations.setInteger(run.length, at: run.place, endianness: .little)
        } else {
            pack(0, 4 | 16, charge.numbers, cost: charge.cost, required: charge.cost)
            run = Run(
                key: charge.key, numbers: charge.numbers, cost: charge.cost, length: 1,
                place: packedOperations.writerIndex)
            packedOperations.writeInteger(run.length, endianness: .little)
        }
        return true
    }

    /// Makes an operation like others of a run of one. A run writes what it decides, others after the last of their key.
    private mutating func dissolveRun() {
        packedOperations.moveWriterIndex(to: run.place)
        packedOperations.setInteger(4 | 8, at: run.place - 19, as: UInt8.self)
        run.length = 0
    }

    private mutating func append(_ key: Key, _ prefix: String, suffix: String) {
        keyCount += 1
        guard suffix.isEmpty else {
            keys.writeString("$\(prefix.utf8.count + Key.textLength + suffix.utf8.count)\r\n\(prefix)")
            key.write(to: &keys)
            keys.writeString("\(suffix)\r\n")
            return
        }
        if keyHead.isEmpty {
            keyHead = Array("$\(prefix.utf8.count + Key.textLength)\r\n\(prefix)".utf8)
            keys.reserveCapacity(2048)
            packedOperations.reserveCapacity(1024)
        }
        // In one write, for each takes longer than the bytes do.
        let head = keyHead
        let length = head.count + Key.textLength + 2
        keys.writeWithUnsafeMutableBytes(minimumWritableBytes: length) { bytes in
            bytes.copyBytes(from: head)
            key.write(to: UnsafeMutableRawBufferPointer(rebasing: bytes[head.count...]))
            bytes[length - 2] = UInt8(ascii: "\r")
            bytes[length - 1] = UInt8(ascii: "\n")
            return length
        }
    }

    private mutating func pack(_ code: UInt8, _ flags: UInt8, _ numbers: LimitNumbers, cost: Int64, required: Int64) {
        count += 1
        run.length = 0
        if code == 0,
            let same = recent.first(where: { $0.cost == cost && $0.required == required && $0.numbers == numbers }),
            let copied = try? packedOperations.copyBytes(
                at: same.place, to: packedOperations.writerIndex, length: same.length)
        {
            packedOperations.moveWriterIndex(forwardBy: copied)
            packedOperations.setInteger(
                flags | (same.isPlain ? 8 : 0), at: packedOperations.writerIndex - same.length + 1)
            return
        }
        let place = packedOperations.writerIndex
        // More than twice the capacity is no different from twice, but for a leaky bucket, whose queue may be longer.
        let most = numbers.algorithm.kind == .leakyBucket ? Rate.largestCount : 2 * numbers.capacity
        let nothing: (ticks: Int128, remainder: Int64) = (0, 0)
        let costSpan = numbers.isBucket ? numbers.worth(of: min(cost, code == 0 ? numbers.capacity : most)) : nothing
        let requiredSpan = numbers.isBucket ? numbers.worth(of: min(required, most)) : nothing
        let isPlain = required == cost && costSpan == requiredSpan && costSpan.ticks < 1 << 52
        packedOperations.writeInteger(code)
        packedOperations.writeInteger(flags | (isPlain ? 8 : 0))
        packedOperations.writeInteger(index(of: numbers), endianness: .little)
        packedOperations.writeInteger(UInt32(clamping: cost), endianness: .little)
        if numbers.isBucket {
            packedOperations.writeDouble(costSpan.ticks.low52)
            packedOperations.writeInteger(UInt32(clamping: costSpan.remainder), endianness: .little)
        }
        if !isPlain {
            packedOperations.writeInteger(UInt32(clamping: required), endianness: .little)
            if numbers.isBucket {
                packedOperations.writeDouble(costSpan.ticks.above52)
                packedOperations.writeSpan(requiredSpan)
            }
        }
        guard code == 0, recent.count < Packed.most else { return }
        recent.append(
            Packed(
                numbers: numbers, cost: cost, required: required, isPlain: isPlain, place: place,
                length: packedOperations.writerIndex - place))
    }

    private mutating func index(of numbers: LimitNumbers) -> UInt16 {
        if let index = limits[numbers] { return index }
        let index = UInt16(truncatingIfNeeded: limits.count)
        limits[numbers] = index
        let full = numbers.worth(of: numbers.capacity)
        let most: (ticks: Int128, remainder: Int64) =
            numbers.algorithm.kind == .leakyBucket
            ? (Int128(max(2 * numbers.period, numbers.maxWait + numbers.period)), 0)
            : numbers.worth(of: 2 * numbers.capacity)
        // Whether all spans, and their sums, fit into one of the script's numbers.
        let isSmall = numbers.algorithm.kind == .tokenBucket && most.ticks < 1 << 51
        // What the commonest operations need, before the rest.
        packedLimits.writeInteger(UInt8(isSmall ? 1 : 0))
        packedLimits.writeInteger(UInt32(clamping: numbers.count), endianness: .little)
        packedLimits.writeDouble(full.ticks.low52)
        packedLimits.writeInteger(UInt32(clamping: full.remainder), endianness: .little)
        packedLimits.writeDouble(most.ticks.low52)
        packedLimits.writeInteger(numbers.kindCode)
        packedLimits.writeInteger(UInt8(numbers.alignment == .firstRequest ? 1 : 0))
        packedLimits.writeDouble(numbers.period)
        packedLimits.writeDouble(full.ticks.above52)
        packedLimits.writeDouble(most.ticks.above52)
        packedLimits.writeInteger(UInt32(clamping: most.remainder), endianness: .little)
        packedLimits.writeDouble(numbers.maxWait)
        return index
    }

    /// The command, for a script that the server knows by this name.
    ///
    /// - Parameter time: when to decide; nil for the server's time.
    func command(script: ByteBuffer, time: Timestamp?, options: ScriptOptions) -> RESPCommand {
        var head = ByteBuffer()
        head.reserveCapacity(24 + packedLimits.readableBytes)
        head.writeDouble(time ?? -1)
        head.writeDouble(options.slack)
        head.writeDouble(options.lease)
        head.writeImmutableBuffer(packedLimits)
        var command = RESPCommand("EVALSHA", count: 2 + keyCount + 2)
        command.append(script)
        command.append(keyCount)
        command.append(arguments: keys)
        command.append(head)
        command.append(packedOperations)
        return command
    }

    /// Takes the script's answer apart: one result for each operation; nil when it is not such an answer.
    func results(_ reply: ByteBuffer) -> [StoreOperation.Outcome]? {
        var reply = reply
        guard let now = reply.readWhole(), (0...Timestamp.latest).contains(now) else { return nil }
        var results: [StoreOperation.Outcome] = []
        results.reserveCapacity(operations.count)
        for operation in operations {
            switch operation.work {
            case .decide(let charges, let id, _):
                var decisions: [Decision] = []
                decisions.reserveCapacity(charges.count)
                for (index, charge) in charges.enumerated() {
                    guard let answer = Answer(&reply) else { return nil }
                    let decision = answer.state(of: charge.numbers, now).decision(
                        of: charge, at: now, isCharged: answer.isCharged, sequence: StoreOperation.id(id, index))
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
        return reply.readableBytes == 0 ? results : nil
    }

    /// One of the script's answers.
    private struct Answer {
        let isAllowed: Bool
        let isCharged: Bool
        let first: Int64
        let second: Int64
        let third: Int64

        init?(_ reply: inout ByteBuffer) {
            guard let status = reply.readInteger(as: UInt8.self) else { return nil }
            if status == 6 || status == 1 {
                // A token bucket that was charged, as it was kept: arrival time, and if it isn't whole, remainder and count.
                guard let ticks = reply.readWhole() else { return nil }
                var remainder: UInt32 = 0
                if status == 1 {
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

/// Which keys came up before in a call. It may say so of one that didn't, never the other way round.
private struct SeenKeys {
    /// A bit for each of 4096 places.
    private var places = ContiguousArray<UInt64>(repeating: 0, count: 64)

    /// Returns whether the key is surely new.
    mutating func insert(_ key: Key) -> Bool {
        let word = Int(truncatingIfNeeded: key.low >> 6) & (places.count - 1)
        let bit: UInt64 = 1 << (key.low & 63)
        defer { places[word] |= bit }
        return places[word] & bit == 0
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
        switch algorithm.kind {
        case .tokenBucket: 0
        case .leakyBucket: 1
        case .fixedWindow: 2
        case .slidingWindow: 3
        case .slidingLog: 4
        case .concurrency: 5
        }
    }

    fileprivate var isBucket: Bool { kindCode <= 1 }
}

extension Key {
    /// The key's name on the server: 114 bits of its hash, in a slot by its first dimension. Nothing in it was chosen by a
    /// client.
    func text(_ prefix: String) -> String {
        var buffer = ByteBuffer()
        write(to: &buffer)
        return prefix + String(buffer: buffer)
    }

    /// `{xx}` and 19 digits of base64url (RFC 4648). With the usual prefix that makes 28 bytes: a server keeps these in 32,
    /// and takes a fifth longer for those of 43 that all 128 bits in hexadecimal make.
    static let textLength = 23

    func write(to buffer: inout ByteBuffer) {
        buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: Self.textLength) { bytes in
            write(to: bytes)
            return Self.textLength
        }
    }

    /// - Parameter bytes: at least ``textLength`` of them.
    fileprivate func write(to bytes: UnsafeMutableRawBufferPointer) {
        func hexadecimal(_ value: UInt64) -> UInt8 {
            let digit = UInt8(truncatingIfNeeded: value & 15)
            return digit < 10 ? 48 + digit : 87 + digit
        }
        bytes[0] = UInt8(ascii: "{")
        bytes[1] = hexadecimal(partition >> 60)
        bytes[2] = hexadecimal(partition >> 56)
        bytes[3] = UInt8(ascii: "}")
        var rest = UInt128(high) << 64 | UInt128(low)
        for place in 4..<Self.textLength {
            bytes[place] = Self.base64Digit(UInt8(truncatingIfNeeded: rest >> 122))
            rest <<= 6
        }
    }

    private static func base64Digit(_ value: UInt8) -> UInt8 {
        switch value {
        case 0..<26: 65 &+ value
        case 26..<52: 71 &+ value
        case 52..<62: value &- 4
        case 62: UInt8(ascii: "-")
        default: UInt8(ascii: "_")
        }
    }

    /// One of 256 groups of keys that share a cluster's slot, so that decisions about many clients can share a call.
    var tag: Int { Int(partition >> 56) }
}

extension Int128 {
    /// The halves of a count of ticks that the script's numbers hold.
    fileprivate var low52: Int64 { Int64(truncatingIfNeeded: self & (1 << 52 - 1)) }
    fileprivate var above52: Int64 { Int64(truncatingIfNeeded: self >> 52) }
}

extension ByteBuffer {
    fileprivate mutating func writeDouble(_ value: Int64) {
        writeInteger(Double(value).bitPattern, endianness: .little)
    }

    fileprivate mutating func writeSpan(_ span: (ticks: Int128, remainder: Int64)) {
        writeDouble(span.ticks.above52)
        writeDouble(span.ticks.low52)
        writeInteger(UInt32(clamping: span.remainder), endianness: .little)
    }

    /// A double that is a whole number within 2^62 of 0.
    fileprivate mutating func readWhole() -> Int64? {
        guard let bits = readInteger(endianness: .little, as: UInt64.self) else { return nil }
        let value = Double(bitPattern: bits)
        return abs(value) < 0x1p62 ? Int64(value) : nil
    }
}
