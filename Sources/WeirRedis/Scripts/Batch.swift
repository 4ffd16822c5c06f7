import NIOCore
import Weir

/// Several operations in one call of ``OperationScript``: encodes its arguments and decodes its reply. ``ScriptFormat``
/// describes both.
struct Batch {
    private typealias Flag = ScriptFormat.Flag
    private typealias Format = ScriptFormat.Operation

    /// The size of a full batch. Beyond it the server gains little, and the other operations wait longer.
    static let most = 128

    private(set) var operations: [StoreOperation] = []
    /// The keys, encoded as in the command, and their number.
    private var keys = ByteBuffer()
    private var keyCount = 0
    private var limits: [LimitNumbers: UInt16] = [:]
    private var packedLimits = ByteBuffer()
    private var packedOperations = ByteBuffer()
    /// How many answers the script gives.
    private(set) var count = 0
    private var run = Run()
    private var recent: [Packed] = []
    /// The start of most keys in the command: their length and the prefix.
    private var keyHead: [UInt8] = []
    private var seen = SeenKeys()

    /// The decision that was packed last, if it is a run that stands for several keys.
    private struct Run {
        /// The first key.
        var key: Key?
        var numbers: LimitNumbers?
        var cost: Int64 = 0
        var length: UInt16 = 0
        /// Where its length is encoded.
        var place = 0
    }

    /// A decision that was packed before. Others are often equal to it.
    private struct Packed {
        var numbers: LimitNumbers
        var cost: Int64
        var required: Int64
        var isPlain: Bool
        var place: Int
        var length: Int

        /// How many are searched: about as many as a request has limits.
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
                    (charge.isShadow ? Flag.shadow : 0) | (charge.countsDenied ? Flag.countsDenied : 0)
                    | (index == charges.count - 1 ? Flag.last : 0) | (charge.countsHolds ? Flag.countsHolds : 0)
                    | (charge.isHold ? Flag.hold : 0)
                let isSeen = append(charge.key, prefix)
                if charge.countsHolds { append(charge.key, prefix, suffix: ScriptFormat.holdsKey) }
                pack(.decide, flags | isSeen, charge.numbers, cost: charge.cost, required: charge.required)
                if charge.numbers.algorithm.kind == .concurrency || charge.isHold {
                    packedOperations.writeInteger(StoreOperation.id(id, index), endianness: .little)
                }
            }
        case .debit(let charge, _):
            let isSeen = append(charge.key, prefix)
            pack(.debit, isSeen, charge.numbers, cost: charge.cost, required: 0)
        case .refund(let charge, let receipt, _):
            let isSeen = append(charge.key, prefix)
            append(charge.key, prefix, suffix: ScriptFormat.refundMark(receipt.sequence))
            append(charge.key, prefix, suffix: ScriptFormat.resetMark)
            pack(.refund, isSeen, charge.numbers, cost: charge.cost, required: 0)
            packedOperations.writeDouble(receipt.time)
            packedOperations.writeDouble(receipt.delay)
            packedOperations.writeInteger(receipt.sequence, endianness: .little)
        case .reset(let numbers, let key, _):
            let isSeen = append(key, prefix)
            append(key, prefix, suffix: ScriptFormat.resetMark)
            pack(.reset, isSeen, numbers, cost: 0, required: 0)
        case .settle(let charge, let receipt, let actual, _):
            let isSeen = append(charge.key, prefix)
            append(charge.key, prefix, suffix: ScriptFormat.holdsKey)
            pack(.settle, isSeen, charge.numbers, cost: min(max(actual, 0), Rate.maximumCount), required: 0)
            packedOperations.writeInteger(receipt.sequence, endianness: .little)
            packedOperations.writeInteger(UInt32(clamping: charge.cost), endianness: .little)
        case .credit(let charge, _):
            let isSeen = append(charge.key, prefix)
            pack(.credit, isSeen, charge.numbers, cost: charge.cost, required: 0)
        case .renew(let charge, let id):
            let isSeen = append(charge.key, prefix)
            if charge.isHold { append(charge.key, prefix, suffix: ScriptFormat.holdsKey) }
            pack(.renew, isSeen, charge.numbers, cost: charge.cost, required: 0)
            packedOperations.writeInteger(id, endianness: .little)
        }
    }

    /// Appends a key. Returns the flag for a key that may have come up before.
    private mutating func append(_ key: Key, _ prefix: String) -> UInt8 {
        append(key, prefix, suffix: "")
        return seen.insert(key) ? 0 : Flag.seen
    }

    /// Packs the commonest operation, a charge of one token bucket, once for all keys that have it in a row. The key
    /// must certainly be new in the call.
    private mutating func appendToRun(_ charge: Charge, _ prefix: String) -> Bool {
        guard !charge.isShadow, !charge.countsDenied, !charge.countsHolds, charge.required == charge.cost,
            charge.cost > 0
        else {
            return false
        }
        let goesOn =
            run.length > 0 && run.length < .max && run.cost == charge.cost && run.numbers == charge.numbers
        if !goesOn {
            guard charge.numbers.algorithm.kind == .tokenBucket, charge.cost <= charge.numbers.capacity,
                charge.numbers.worth(of: charge.cost).ticks < 1 << ScriptFormat.lowBits
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
            pack(.decide, Flag.last | Flag.run, charge.numbers, cost: charge.cost, required: charge.cost)
            run = Run(
                key: charge.key, numbers: charge.numbers, cost: charge.cost, length: 1,
                place: packedOperations.writerIndex)
            packedOperations.writeInteger(run.length, endianness: .little)
        }
        return true
    }

    /// Turns a run of one key into an ordinary operation. The script writes the keys of a run as it decides them, but
    /// others after the last operation on their key.
    private mutating func dissolveRun() {
        packedOperations.moveWriterIndex(to: run.place)
        let start = run.place - Format.plainBucketLength
        packedOperations.setInteger(Flag.last | Flag.plain, at: start + Format.flagsOffset)
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
        // Use one write: each call takes longer than copying the bytes.
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

    private mutating func pack(
        _ code: ScriptFormat.OperationCode, _ flags: UInt8, _ numbers: LimitNumbers, cost: Int64, required: Int64
    ) {
        count += 1
        run.length = 0
        if code == .decide,
            let same = recent.first(where: { $0.cost == cost && $0.required == required && $0.numbers == numbers }),
            let copied = try? packedOperations.copyBytes(
                at: same.place, to: packedOperations.writerIndex, length: same.length)
        {
            packedOperations.moveWriterIndex(forwardBy: copied)
            packedOperations.setInteger(
                flags | (same.isPlain ? Flag.plain : 0),
                at: packedOperations.writerIndex - same.length + Format.flagsOffset)
            return
        }
        let place = packedOperations.writerIndex
        // A cost beyond all debt makes no difference, except for a leaky bucket, whose queue may be longer.
        let most =
            numbers.algorithm.kind == .leakyBucket ? Rate.maximumCount : numbers.capacity + numbers.mostDebt
        let nothing: (ticks: Int128, remainder: Int64) = (0, 0)
        let costSpan =
            numbers.isBucket ? numbers.worth(of: min(cost, code == .decide ? numbers.capacity : most)) : nothing
        let requiredSpan = numbers.isBucket ? numbers.worth(of: min(required, most)) : nothing
        let isPlain =
            required == cost && costSpan == requiredSpan && costSpan.ticks < 1 << ScriptFormat.lowBits
        packedOperations.writeInteger(code.rawValue)
        packedOperations.writeInteger(flags | (isPlain ? Flag.plain : 0))
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
        guard code == .decide, recent.count < Packed.most else { return }
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
        // Whether all spans and their sums fit into one of the script's numbers.
        let isSmall = numbers.algorithm.kind == .tokenBucket && most.ticks < 1 << (ScriptFormat.lowBits - 1)
        // The fields that the commonest operations need come first.
        packedLimits.writeInteger(isSmall ? ScriptFormat.Limit.small : 0)
        packedLimits.writeInteger(UInt32(clamping: numbers.count), endianness: .little)
        packedLimits.writeDouble(full.ticks.low52)
        packedLimits.writeInteger(UInt32(clamping: full.remainder), endianness: .little)
        packedLimits.writeDouble(most.ticks.low52)
        packedLimits.writeInteger(numbers.scriptKind.rawValue)
        packedLimits.writeInteger(numbers.alignment == .firstRequest ? ScriptFormat.Limit.firstRequest : 0)
        packedLimits.writeDouble(numbers.period)
        packedLimits.writeDouble(full.ticks.above52)
        packedLimits.writeDouble(most.ticks.above52)
        packedLimits.writeInteger(UInt32(clamping: most.remainder), endianness: .little)
        packedLimits.writeDouble(numbers.maxWait)
        packedLimits.writeSpan(
            numbers.algorithm.kind == .tokenBucket ? numbers.worth(of: numbers.capacity + numbers.mostDebt) : most)
        return index
    }

    /// Encodes the call of a script.
    ///
    /// - Parameters:
    ///   - script: the script's hash on the server.
    ///   - time: when to decide; nil for the server's time.
    func command(script: ByteBuffer, time: Timestamp?, options: ScriptOptions) -> RESPCommand {
        var head = ByteBuffer()
        head.reserveCapacity(ScriptFormat.Head.length + packedLimits.readableBytes)
        head.writeDouble(time ?? ScriptFormat.Head.serverTime)
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
}

/// Tells whether a key has come up before in a call. It may say so of a new key, but never misses an old one.
private struct SeenKeys {
    /// One bit for each of 4096 places.
    private var places = ContiguousArray<UInt64>(repeating: 0, count: 64)

    /// Returns whether the key is certainly new.
    mutating func insert(_ key: Key) -> Bool {
        let word = Int(truncatingIfNeeded: key.low >> 6) & (places.count - 1)
        let bit: UInt64 = 1 << (key.low & 63)
        defer { places[word] |= bit }
        return places[word] & bit == 0
    }
}

extension Int128 {
    /// The parts of a count of ticks that fit into the script's numbers.
    fileprivate var low52: Int64 { Int64(truncatingIfNeeded: self & (1 << ScriptFormat.lowBits - 1)) }
    fileprivate var above52: Int64 { Int64(truncatingIfNeeded: self >> ScriptFormat.lowBits) }
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
}
