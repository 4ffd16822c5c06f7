import NIOCore
import TestSupport
import Testing
import Weir
import WeirTesting

@testable import WeirRedis

/// One field of a binary format.
private enum Field {
    case byte(UInt8)
    case short(UInt16)
    case int(UInt32)
    case double(Double)
    case name(UInt64)
}

private func bytes(_ fields: [Field]) -> ByteBuffer {
    var buffer = ByteBuffer()
    for field in fields {
        switch field {
        case .byte(let value): buffer.writeInteger(value)
        case .short(let value): buffer.writeInteger(value, endianness: .little)
        case .int(let value): buffer.writeInteger(value, endianness: .little)
        case .double(let value): buffer.writeInteger(value.bitPattern, endianness: .little)
        case .name(let value): buffer.writeInteger(value, endianness: .little)
        }
    }
    return buffer
}

/// The formats that are stored and sent, written out in numbers: they may not change by accident.
@Suite("The script's formats")
struct ScriptFormatTests {
    private let start = NIODeadline.uptimeNanoseconds(1_000_000_000)
    private let bucket: Limit
    private let leaky: Limit
    private let window: Limit
    private let flight: Limit

    init() throws {
        bucket = try Limit("bucket", .perMinute(7))
        leaky = try Limit("leaky", .perSecond(10), algorithm: .leakyBucket, maxWait: .milliseconds(500))
        window = try Limit("window", .perHour(20), algorithm: .fixedWindow, alignment: .firstRequest)
        flight = try Limit("flight", concurrency: 3)
    }

    /// A key whose name's first digit is a number's.
    private func key(_ number: UInt64) -> Key { Key(high: number << 58, low: number, partition: 0x2A << 56) }

    private func charge(_ limit: Limit, _ number: UInt64, cost: Int64 = 1) -> Charge {
        Charge(limit.numbers, key: key(number), cost: cost)
    }

    private func batch(_ works: [StoreOperation.Work]) -> Batch {
        var batch = Batch()
        for work in works {
            batch.append(StoreOperation(work, submitted: start, deadline: start), prefix: "w:")
        }
        return batch
    }

    /// The command's arguments.
    private func arguments(_ batch: Batch) throws -> [ByteBuffer] {
        var options = ScriptOptions()
        options.slack = 1500
        options.lease = 30_000_000
        var parser = RESPParser()
        var command = batch.command(script: ByteBuffer(string: "sha"), time: 1_000_000, options: options).bytes
        parser.append(&command)
        return try #require(try parser.next()?.elements).map { element in
            guard case .string(let buffer) = element else { return ByteBuffer() }
            return buffer
        }
    }

    @Test("one token bucket of several keys is packed once, with its limit and the keys' names")
    func run() throws {
        let batch = batch([
            .decide([charge(bucket, 1)], id: 1, nil), .decide([charge(bucket, 2)], id: 2, nil),
        ])
        let arguments = try arguments(batch)
        #expect(
            arguments.dropLast(2).map { String(buffer: $0) } == [
                "EVALSHA", "sha", "2", "w:{2a}BAAAAAAAAAAAAAAAAAA", "w:{2a}CAAAAAAAAAAAAAAAAAA",
            ])
        #expect(
            arguments[5]
                == bytes([
                    .double(1_000_000), .double(1500), .double(30_000_000),
                    .byte(1), .int(7), .double(60_000_000), .int(0), .double(120_000_000),
                    .byte(0), .byte(0), .double(60_000_000), .double(0), .double(0), .int(0), .double(0),
                    .double(0), .double(6_060_000_000), .int(0),
                ]))
        #expect(
            arguments[6]
                == bytes([.byte(0), .byte(4 + 8 + 16), .short(0), .int(1), .double(8_571_428), .int(4), .short(2)]))
    }

    @Test("a request's charges follow each other, each with its flags, and with what it requires beyond its cost")
    func request() throws {
        var shadow = charge(leaky, 2, cost: 2)
        shadow.isShadow = true
        var counting = charge(window, 3)
        counting.countsDenied = true
        counting.required = 4
        let arguments = try arguments(batch([.decide([shadow, counting, charge(flight, 2)], id: 9, nil)]))
        let limits: [[Field]] = [
            [
                .byte(0), .int(10), .double(1_000_000), .int(0), .double(2_000_000),
                .byte(1), .byte(0), .double(1_000_000), .double(0), .double(0), .int(0), .double(500_000),
                .double(0), .double(2_000_000), .int(0),
            ],
            [
                .byte(0), .int(20), .double(3_600_000_000), .int(0), .double(7_200_000_000),
                .byte(2), .byte(1), .double(3_600_000_000), .double(0), .double(0), .int(0), .double(0),
                .double(0), .double(7_200_000_000), .int(0),
            ],
            [
                .byte(0), .int(3), .double(0), .int(0), .double(0),
                .byte(5), .byte(0), .double(0), .double(0), .double(0), .int(0), .double(0),
                .double(0), .double(0), .int(0),
            ],
        ]
        #expect(
            arguments[6]
                == bytes([.double(1_000_000), .double(1500), .double(30_000_000)] + limits.flatMap(\.self)))
        let operations: [[Field]] = [
            [.byte(0), .byte(1 + 8), .short(0), .int(2), .double(200_000), .int(0)],
            [.byte(0), .byte(2), .short(1), .int(1), .int(4)],
            [.byte(0), .byte(4 + 8 + 32), .short(2), .int(1), .name(11)],
        ]
        #expect(arguments[7] == bytes(operations.flatMap(\.self)))
    }

    @Test("a debit, a refund, a reset and a renewal have their codes, and bring their marks' keys")
    func others() throws {
        let receipt = Receipt(time: 5, delay: 6, sequence: 255)
        var debit = charge(bucket, 1, cost: 9)
        debit.required = 9
        let arguments = try arguments(
            batch([
                .debit(debit, nil), .refund(charge(bucket, 2), receipt, nil),
                .reset(bucket.numbers, key(3), nil), .renew(charge(flight, 4), id: 7),
            ]))
        #expect(
            arguments[2..<10].map { String(buffer: $0) } == [
                "7", "w:{2a}BAAAAAAAAAAAAAAAAAA", "w:{2a}CAAAAAAAAAAAAAAAAAA", "w:{2a}CAAAAAAAAAAAAAAAAAA:ff",
                "w:{2a}CAAAAAAAAAAAAAAAAAA:x", "w:{2a}DAAAAAAAAAAAAAAAAAA", "w:{2a}DAAAAAAAAAAAAAAAAAA:x",
                "w:{2a}EAAAAAAAAAAAAAAAAAA",
            ])
        let operations: [[Field]] = [
            [.byte(1), .byte(0), .short(0), .int(9), .double(77_142_857), .int(1)],
            [.int(0), .double(0), .double(0), .double(0), .int(0)],
            [.byte(2), .byte(0), .short(0), .int(1), .double(8_571_428), .int(4)],
            [.int(0), .double(0), .double(0), .double(0), .int(0), .double(5), .double(6), .name(255)],
            [.byte(3), .byte(8), .short(0), .int(0), .double(0), .int(0)],
            [.byte(4), .byte(0), .short(1), .int(1), .int(0), .name(7)],
        ]
        #expect(arguments[11] == bytes(operations.flatMap(\.self)))
    }

    @Test("a hold, a peek that counts holds, a settlement, a credit and a hold's renewal bring the holds' key")
    func holds() throws {
        let receipt = Receipt(time: 5, delay: 0, sequence: 255)
        let held = Charge(bucket.numbers, key: key(1), cost: 1, isHold: true)
        let peek = Charge(window.numbers, key: key(2), cost: 0, countsHolds: true)
        let arguments = try arguments(
            batch([
                .decide([held, peek], id: 9, nil), .settle(held, receipt, actual: 3, nil),
                .credit(charge(window, 3, cost: 4), nil), .renew(held, id: 7),
            ]))
        #expect(
            arguments[2..<12].map { String(buffer: $0) } == [
                "9", "w:{2a}BAAAAAAAAAAAAAAAAAA", "w:{2a}BAAAAAAAAAAAAAAAAAA:h", "w:{2a}CAAAAAAAAAAAAAAAAAA",
                "w:{2a}CAAAAAAAAAAAAAAAAAA:h", "w:{2a}BAAAAAAAAAAAAAAAAAA", "w:{2a}BAAAAAAAAAAAAAAAAAA:h",
                "w:{2a}DAAAAAAAAAAAAAAAAAA", "w:{2a}BAAAAAAAAAAAAAAAAAA", "w:{2a}BAAAAAAAAAAAAAAAAAA:h",
            ])
        let operations: [[Field]] = [
            [.byte(0), .byte(64 + 128 + 8), .short(0), .int(1), .double(8_571_428), .int(4), .name(9)],
            [.byte(0), .byte(64 + 4 + 8), .short(1), .int(0)],
            [.byte(5), .byte(32), .short(0), .int(3), .double(25_714_285), .int(5)],
            [.int(0), .double(0), .double(0), .double(0), .int(0), .name(255), .int(1)],
            [.byte(6), .byte(0), .short(1), .int(4), .int(0)],
            [.byte(4), .byte(32), .short(0), .int(1), .double(8_571_428), .int(4)],
            [.int(0), .double(0), .double(0), .double(0), .int(0), .name(7)],
        ]
        #expect(arguments[13] == bytes(operations.flatMap(\.self)))
    }

    @Test("spans beyond 2^52 ticks are sent in parts")
    func longSpans() throws {
        let slow = try Limit("slow", Rate(1, perTicks: Rate.maximumPeriodTicks, burst: 1_000_000_000))
        let arguments = try arguments(batch([.decide([charge(slow, 1, cost: 1_000)], id: 1, nil)]))
        // 1,000 years of 366 days are 7 × 2^52 ticks and a rest.
        let (high, low) = (7.0, 97_202_608_406_528.0)
        #expect(
            arguments[5]
                == bytes([
                    .byte(0), .byte(4), .short(0), .int(1_000), .double(low), .int(0),
                    .int(1_000), .double(high), .double(high), .double(low), .int(0),
                ]))
    }

    @Test("lengths are those of the fields")
    func lengths() {
        func length(_ fields: String) -> Int {
            let widths = ["B": 1, "I2": 2, "I4": 4, "d": 8, "c8": 8]
            return fields.matches(of: /[A-Za-z]\d?/).reduce(0) { $0 + (widths[String($1.output)] ?? .max / 2) }
        }
        #expect(length(ScriptFormat.Head.fields) == ScriptFormat.Head.length)
        #expect(length(ScriptFormat.Limit.commonFields) == ScriptFormat.Limit.commonLength)
        #expect(length(ScriptFormat.Limit.otherFields) == ScriptFormat.Limit.otherLength)
        let plain = ScriptFormat.Operation.cost + ScriptFormat.Operation.costTicks
        #expect(ScriptFormat.Operation.headLength + length(plain) == ScriptFormat.Operation.plainBucketLength)
        for version in UInt8(1)...7 {
            let state = ScriptFormat.State(rawValue: version)
            #expect(state.map { 1 + length($0.fields) } == state?.length)
        }
        #expect(length(ScriptFormat.LogEntry.fields) == ScriptFormat.LogEntry.length)
        #expect(length(ScriptFormat.Operation.name) == ScriptFormat.Permits.costOffset)
    }

    @Test("an answer is read: a stored token bucket, or a status with three numbers")
    func reply() throws {
        let now: Timestamp = 1_000_000_000
        var window = charge(window, 3)
        window.cost = 2
        window.required = 2
        let batch = batch([
            .decide([charge(bucket, 1)], id: 1, nil), .decide([charge(bucket, 2)], id: 2, nil),
            .decide([window, charge(flight, 5)], id: 3, nil), .debit(charge(bucket, 1), nil),
            .reset(bucket.numbers, key(1), nil), .renew(charge(flight, 1), id: 9),
            .decide([Charge(self.window.numbers, key: key(2), cost: 5, isHold: true)], id: 10, nil),
        ])
        let reply = bytes([
            .double(1_000_000_000),
            .byte(6), .double(1_010_000_000),
            .byte(1), .double(1_010_000_000), .int(3), .int(7),
            .byte(8 + 1), .double(3_600_000_000), .double(5), .double(0),
            .byte(8), .double(3), .double(0), .double(0),
            .byte(8 + 1), .double(0), .double(0), .double(0),
            .byte(8), .double(0), .double(0), .double(0),
            .byte(8 + 1), .double(0), .double(0), .double(0),
            .byte(8 + 1 + 2), .double(3_600_000_000), .double(5), .double(0), .double(6),
        ])
        let results = try #require(batch.results(reply))
        try #require(results.count == 7)
        func decisions(_ index: Int) -> [Decision] {
            if case .decisions(let decisions) = results[index] { decisions } else { [] }
        }
        func changed(_ index: Int) -> Bool? { if case .changed(let changed) = results[index] { changed } else { nil } }
        let whole = decisions(0)[0]
        // 10 s ahead, and 8.57 s more, of 60 s.
        #expect(whole.isAllowed && whole.remaining == 4 && whole.receipt?.sequence == 1)
        #expect(whole.resetTicks == 18_571_429 && whole.timestamp == now)
        #expect(decisions(1)[0].resetTicks == 18_571_429, "7/7 of a tick more")
        #expect(decisions(1)[0].receipt?.sequence == 2)
        let request = decisions(2)
        #expect(request.map(\.isAllowed) == [true, false])
        #expect(request[0].remaining == 15 && request[0].receipt == nil, "another limit denied, so it isn't charged")
        #expect(request[1].remaining == 0)
        #expect([changed(3), changed(4), changed(5)] == [true, false, true])
        #expect(decisions(6)[0].remaining == 4, "of 20, 5 are used, 6 were held and 5 are")
    }
}

extension Redis {
    @Suite("What is stored", .serialized)
    struct StoredStateTests {
        private let now: Timestamp = 1_000_000_000

        private func ask(_ store: RedisStore, _ command: RESPCommand, _ key: Key) async throws -> RESPValue {
            try await withCheckedContinuation { continuation in
                store.client.send(command, key: key.text("weir:")) { continuation.resume(returning: $0) }
            }.get()
        }

        private func charge(_ store: RedisStore, _ limit: Limit, cost: Int64) async throws -> (Key, Decision) {
            let key = store.keyHasher.key("a", seed: store.keyHasher.seed(for: limit.identity))
            let decisions = try await store.decide([Charge(limit.numbers, key: key, cost: cost)])
            return (key, try #require(decisions.first))
        }

        @Test("every algorithm keeps its state in a format of its own, which other versions read too")
        func states() async throws {
            let server = try await RedisServer(try Folder())
            let clock = ManualClock(atTicks: now)
            let store = try await makeStore(server.url) {
                $0.clock = clock
                $0.permitLease = .seconds(30)
            }
            let slow = try Rate(1, perTicks: Rate.maximumPeriodTicks, burst: 1_000_000_000)
            let texts: [(Limit, cost: Int64, [Field])] = [
                (try Limit("whole", .perMinute(10)), 2, [.byte(6), .double(1_012_000_000)]),
                (try Limit("bucket", .perMinute(7)), 1, [.byte(1), .double(1_008_571_428), .int(4), .int(7)]),
                (
                    try Limit("long", slow), 1000,
                    [.byte(2), .double(7), .double(97_203_608_406_528), .int(0), .int(1)]
                ),
                (
                    try Limit("leaky", .perSecond(10), algorithm: .leakyBucket), 1,
                    [.byte(6), .double(1_000_100_000)]
                ),
                (
                    try Limit("fixed", .perHour(9), algorithm: .fixedWindow), 2,
                    [.byte(3), .double(3_600_000_000), .int(2)]
                ),
                (
                    try Limit("sliding", .perHour(9), algorithm: .slidingWindow), 3,
                    [.byte(4), .double(7_200_000_000), .int(3), .int(0)]
                ),
            ]
            for (limit, cost, fields) in texts {
                let (key, _) = try await charge(store, limit, cost: cost)
                let value = try await ask(store, RESPCommand("GET", key.text("weir:")), key)
                #expect(value == .string(bytes(fields)), "\(limit)")
            }

            let indebted = try Limit("debt", .perMinute(10))
            let debtor = store.keyHasher.key("a", seed: store.keyHasher.seed(for: indebted.identity))
            _ = try await store.apply(.debit(Charge(indebted.numbers, key: debtor, cost: 100))).value
            #expect(
                try await ask(store, RESPCommand("GET", debtor.text("weir:")), debtor)
                    == .string(bytes([.byte(7), .double(0), .double(1_600_000_000), .int(0), .int(10)])))
            let held = Charge(indebted.numbers, key: store.keyHasher.key("b", seed: 1), cost: 4, isHold: true)
            let hold = try #require(try await store.decide([held])[0].receipt)
            #expect(
                try await ask(
                    store, RESPCommand("ZRANGE", held.key.text("weir:") + ":h", "0", "-1", "WITHSCORES"), held.key)
                    == .array(
                        [
                            ByteBuffer(string: "h"), ByteBuffer(string: "-5"),
                            bytes([.name(hold.sequence), .int(4)]), ByteBuffer(string: "1030000000"),
                        ].map { .string($0) }))

            let log = try Limit("log", .perHour(9), algorithm: .slidingLog)
            let (logKey, _) = try await charge(store, log, cost: 2)
            clock.advance(by: .microseconds(5))
            _ = try await charge(store, log, cost: 1)
            let head: [Field] = [.byte(5), .double(3), .double(1_000_000_005), .double(1_000_000_000), .int(1)]
            let entries: [[Field]] = [[.double(1_000_000_000), .int(2)], [.double(1_000_000_005), .int(1)]]
            #expect(
                try await ask(store, RESPCommand("LRANGE", logKey.text("weir:"), "0", "-1"), logKey)
                    == .array(([head] + entries).map { .string(bytes($0)) }))

            let (key, permit) = try await charge(store, try Limit("flight", concurrency: 5), cost: 1)
            let name = try #require(permit.receipt).sequence
            #expect(
                try await ask(store, RESPCommand("ZRANGE", key.text("weir:"), "0", "-1", "WITHSCORES"), key)
                    == .array(
                        [
                            ByteBuffer(string: "h"), ByteBuffer(string: "-2"),
                            bytes([.name(name), .int(1)]), ByteBuffer(string: "1030000005"),
                        ].map { .string($0) }))
            store.close()
        }
    }
}
