import NIOCore
import Testing
import Weir

@testable import WeirRedis

/// The client's state machine, without sockets: time is passed in.
@Suite("The pipeline of a connection")
struct PipelineTests {
    let limit: Limit
    var pipeline: Pipeline
    let start = NIODeadline.uptimeNanoseconds(1_000_000_000)

    init() throws {
        limit = try Limit("a", .perMinute(10))
        var options = Pipeline.Options()
        options.mostWaiting = 300
        pipeline = Pipeline(options)
    }

    private func operation(at time: NIODeadline, charges: Int = 1) -> (StoreOperation, PendingAnswer<DecisionResult>) {
        let answer = PendingAnswer<DecisionResult>()
        let charge = Charge(limit.numbers, key: Key(high: 1, low: 2, partition: 3))
        let work = StoreOperation.Work.decide(
            Array(repeating: charge, count: charges), id: 7, answer)
        return (StoreOperation(work, submitted: time, deadline: time + .milliseconds(50)), answer)
    }

    private func outcome(_ answer: PendingAnswer<DecisionResult>) -> DecisionResult? {
        // Completed promises call at once.
        nonisolated(unsafe) var result: DecisionResult?
        answer.whenComplete { result = $0 }
        return result
    }

    @Test("nothing is queued for a server that isn't there")
    mutating func notConnected() {
        #expect(pipeline.submit(operation(at: start).0)?.code == .unavailable)
        pipeline.open(at: start)
        #expect(pipeline.submit(operation(at: start).0) == nil)
        let (operations, _) = pipeline.close()
        #expect(operations.count == 1)
        #expect(pipeline.submit(operation(at: start).0)?.code == .unavailable)
        #expect(pipeline.nextBatch(prefix: "", at: start) == nil)
    }

    @Test("what waits is bounded, and what is answered makes room")
    mutating func bounded() {
        pipeline.open(at: start)
        for _ in 0..<100 { #expect(pipeline.submit(operation(at: start, charges: 3).0) == nil) }
        #expect(pipeline.submit(operation(at: start).0)?.code == .overloaded)
        let batch = pipeline.nextBatch(prefix: "", at: start)
        #expect(batch?.count == 126, "whole requests, at most 128 charges")
        #expect(pipeline.submit(operation(at: start).0)?.code == .overloaded, "what is under way counts")
        _ = pipeline.received(at: start)
        #expect(pipeline.submit(operation(at: start).0) == nil)
    }

    @Test("while a batch is under way the next gathers; only so many are under way at all")
    mutating func batches() {
        pipeline.open(at: start)
        func submit(_ count: Int) { for _ in 0..<count { _ = pipeline.submit(operation(at: start).0) } }
        submit(7)
        #expect(pipeline.nextBatch(prefix: "", at: start)?.count == 7)
        #expect(pipeline.gathering(at: start) == nil, "there is nothing much to save")
        _ = pipeline.received(at: start)
        submit(8)
        #expect(pipeline.nextBatch(prefix: "", at: start)?.count == 8)
        #expect(pipeline.gathering(at: start)?.until == start + .milliseconds(1))
        submit(23)
        #expect(pipeline.nextBatch(prefix: "", at: start) == nil)
        submit(1)
        #expect(pipeline.nextBatch(prefix: "", at: start)?.count == 24, "enough for a call of their own")
        submit(100)
        #expect(pipeline.nextBatch(prefix: "", at: start) == nil, "two are under way")
        _ = pipeline.received(at: start)
        #expect(pipeline.nextBatch(prefix: "", at: start)?.count == 100)
    }

    @Test("a batch doesn't gather for long, nor in a cluster, nor when the server is not expected to answer")
    mutating func gathering() {
        pipeline.open(at: start)
        for _ in 0..<8 { _ = pipeline.submit(operation(at: start).0) }
        _ = pipeline.nextBatch(prefix: "", at: start)
        _ = pipeline.submit(operation(at: start).0)
        #expect(pipeline.nextBatch(prefix: "", at: start + .microseconds(999)) == nil)
        #expect(pipeline.nextBatch(prefix: "", at: start + .milliseconds(1))?.count == 1)
        _ = pipeline.expire(at: start + .milliseconds(50))
        #expect(pipeline.gathering(at: start) == nil)

        var cluster = Pipeline(Pipeline.Options(isCluster: true))
        cluster.open(at: start)
        for count in [8, 1] {
            for _ in 0..<count { _ = cluster.submit(operation(at: start).0) }
            #expect(cluster.nextBatch(prefix: "", at: start)?.count == count)
        }
        #expect(cluster.gathering(at: start) == nil)
    }

    @Test("while large batches follow each other the next gathers with nothing under way, until one waited in vain")
    mutating func flowing() {
        pipeline.open(at: start)
        func submit(_ count: Int) { for _ in 0..<count { _ = pipeline.submit(operation(at: start).0) } }
        func sent(at time: NIODeadline) -> Int? {
            guard let batch = pipeline.nextBatch(prefix: "", at: time) else { return nil }
            _ = pipeline.received(at: time)
            return batch.count
        }
        submit(24)
        #expect(sent(at: start) == 24)
        #expect(pipeline.gathering(at: start) == nil, "it is the first")
        submit(24)
        let second = start + .microseconds(999)
        #expect(sent(at: second) == 24)
        let end = second + .milliseconds(1)
        #expect(pipeline.gathering(at: second)?.until == end)
        submit(23)
        #expect(sent(at: end - .nanoseconds(1)) == nil)
        submit(1)
        #expect(sent(at: end - .nanoseconds(1)) == 24, "enough have gathered")
        submit(23)
        let late = end + .milliseconds(1)
        #expect(pipeline.gathering(at: late) == nil, "whoever comes now is looked after")
        #expect(sent(at: late) == 23)
        submit(2)
        #expect(sent(at: late) == 2, "the last waited in vain")
        submit(1)
        #expect(sent(at: late + .milliseconds(1)) == 1)
        submit(1)
        #expect(sent(at: late + .milliseconds(1)) == 1, "the load is gone")
    }

    @Test("the loop is told to come once, and not at all while it comes by itself")
    func handedOver() {
        var handOver = HandOver()
        func hand(_ time: NIODeadline) -> Bool { handOver.append(operation(at: time).0) }
        func taken() -> Int { handOver.empty().count }
        #expect(hand(start))
        #expect(!hand(start), "it is on its way")
        #expect(taken() == 2)
        #expect(taken() == 0)

        let left = handOver.gather(BatchPacing.Gathering(until: start + .milliseconds(1), missing: 3))
        #expect(left.isEmpty)
        #expect(!hand(start))
        #expect(!hand(start))
        #expect(hand(start), "enough for a call of their own")
        #expect(taken() == 3)
        #expect(hand(start + .milliseconds(1)), "the answer takes long")
        #expect(taken() == 1)
    }

    @Test("what was handed over without a word is taken when no answer is expected any more")
    func nothingIsForgotten() {
        var handOver = HandOver()
        func hand(_ operation: StoreOperation) -> Bool { handOver.append(operation) }
        func leave() -> [StoreOperation] { handOver.gather(nil) }
        _ = handOver.gather(BatchPacing.Gathering(until: start + .milliseconds(1), missing: 3))
        let (forgotten, _) = operation(at: start)
        #expect(!hand(forgotten))
        #expect(leave().map(ObjectIdentifier.init) == [ObjectIdentifier(forgotten)])
        #expect(hand(operation(at: start).0))
        #expect(leave().isEmpty, "the loop was told, and comes for it")
        let taken = handOver.empty()
        #expect(taken.count == 1)
    }

    @Test("a deadline fails what is overdue, opens the breaker, and a probe that is answered in time closes it")
    mutating func breaker() throws {
        pipeline.open(at: start)
        let (sent, sentAnswer) = operation(at: start)
        _ = pipeline.submit(sent)
        _ = pipeline.nextBatch(prefix: "", at: start)
        let (young, _) = operation(at: start + .milliseconds(20))
        _ = pipeline.submit(young)
        #expect(pipeline.nextDeadline == start + .milliseconds(50))
        #expect(pipeline.expire(at: start + .milliseconds(49)).isEmpty)
        let overdue = pipeline.expire(at: start + .milliseconds(50))
        #expect(overdue.count == 2, "what waits behind it fails too, for the server doesn't answer")
        for operation in overdue { operation.fail(StoreError(.timedOut, "late")) }
        #expect(throws: StoreError.self) { try outcome(sentAnswer)?.get() }
        #expect(pipeline.isBreakerOpen)
        #expect(pipeline.submit(operation(at: start).0)?.code == .unavailable)

        // A slow answer doesn't close it.
        let later = start + .milliseconds(100)
        pipeline.sent(Pipeline.Control(isProbe: true, receive: { _ in }), at: later)
        _ = pipeline.received(at: later)
        _ = pipeline.received(at: later + .milliseconds(60))
        #expect(pipeline.isBreakerOpen)
        pipeline.sent(Pipeline.Control(isProbe: true, receive: { _ in }), at: later + .milliseconds(100))
        _ = pipeline.received(at: later + .milliseconds(120))
        #expect(!pipeline.isBreakerOpen)
        #expect(pipeline.submit(operation(at: later).0) == nil)
    }

    @Test("a patient refund doesn't hold back the deadlines of what comes after it")
    mutating func patience() {
        pipeline.open(at: start)
        let charge = Charge(limit.numbers, key: Key(high: 1, low: 2, partition: 3))
        let refund = StoreOperation(
            .refund(charge, Receipt(time: 1, delay: 0, sequence: 1), nil), submitted: start,
            deadline: start + .seconds(5))
        refund.isPatient = true
        _ = pipeline.submit(refund)
        let (decision, _) = operation(at: start)
        _ = pipeline.submit(decision)
        #expect(pipeline.nextDeadline == start + .milliseconds(50))
        #expect(
            pipeline.expire(at: start + .milliseconds(50)).map(ObjectIdentifier.init) == [ObjectIdentifier(decision)])
        #expect(pipeline.isBreakerOpen == false, "nothing was under way, so the server isn't at fault")
        #expect(pipeline.nextDeadline == start + .seconds(5))
    }

    @Test("an operation that was answered is not sent again, and one that was not executed goes first")
    mutating func returned() {
        pipeline.open(at: start)
        let (first, _) = operation(at: start)
        let (second, _) = operation(at: start)
        let (third, _) = operation(at: start)
        _ = pipeline.submit(first)
        _ = pipeline.submit(second)
        let batch = pipeline.nextBatch(prefix: "", at: start)
        _ = pipeline.submit(third)
        _ = pipeline.received(at: start)
        second.fail(StoreError(.timedOut, "late"))
        pipeline.returnToQueue(batch?.operations ?? [])
        let next = pipeline.nextBatch(prefix: "", at: start)
        #expect(next?.operations.map(ObjectIdentifier.init) == [first, third].map(ObjectIdentifier.init))
    }

    @Test("a server that stays silent is given up")
    mutating func silence() {
        pipeline.open(at: start)
        pipeline.sent(Pipeline.Control(isProbe: true, receive: { _ in }), at: start)
        #expect(!pipeline.isSilent(at: start + .seconds(1)))
        #expect(pipeline.isSilent(at: start + .milliseconds(1001)))
        _ = pipeline.received(at: start + .milliseconds(1001))
        #expect(!pipeline.isSilent(at: start + .seconds(60)), "nothing is asked")
    }

    @Test("an answer that is not the script's fails the request, whatever its bytes are")
    func malformedAnswers() {
        var random = SystemRandomNumberGenerator()
        var batch = Batch()
        for algorithm in Algorithm.allCases {
            let limit =
                algorithm == .concurrency
                ? try? Limit("x", concurrency: 3) : try? Limit("x", .perSecond(1_000_000_000), algorithm: algorithm)
            guard let limit else { continue }
            let charge = Charge(limit.numbers, key: Key(high: 1, low: 2, partition: 3))
            batch.append(
                StoreOperation(.decide([charge], id: 9, nil), submitted: start, deadline: start), prefix: "")
            batch.append(StoreOperation(.debit(charge, nil), submitted: start, deadline: start), prefix: "")
        }
        #expect(batch.results(ByteBuffer()) == nil)
        let values: [Double] = [0, 1, -1, .nan, .infinity, 1e300, -1e300, 0x1p53, 0x1p61, 1.5e15, 4e15, 1e-300]
        for _ in 0..<20_000 {
            var bytes = ByteBuffer()
            func write(_ value: Double) { bytes.writeInteger(value.bitPattern, endianness: .little) }
            write(values.randomElement(using: &random) ?? 0)
            for _ in 0..<batch.count {
                let status = UInt8.random(in: 0...11, using: &random)
                bytes.writeInteger(status)
                for _ in 0..<(status == 6 ? 1 : status == 1 ? 2 : 3) {
                    write(values.randomElement(using: &random) ?? 0)
                }
            }
            _ = batch.results(bytes)
        }
    }

    @Test("whatever state an answer claims, no limit of any size traps on it, nor what remembers the decision")
    func absurdStates() throws {
        var random = SystemRandomNumberGenerator()
        let counts: [Int64] = [1, 7, 60, Rate.maximumCount]
        let periods: [Timestamp] = [1, 999_983, 60_000_000, Rate.maximumPeriodTicks]
        let values: [Double] = [
            0, 1, 2, 6, 60, 1e9, 2e9, -1, .nan, .infinity, 1e300, 0x1p30, 0x1p52, 0x1p53 - 1, 0x1p53, 0x1p61, -0x1p61,
            1.5e15, 4e15, 5e15, 31_622_400_000_000,
        ]
        func pick<Value>(_ values: [Value]) -> Value { values[Int.random(in: 0..<values.count, using: &random)] }
        for _ in 0..<2000 {
            let algorithm = pick(Algorithm.allCases)
            let rate = try Rate(pick(counts), perTicks: pick(periods), burst: pick(counts))
            let limit =
                algorithm == .concurrency
                ? try Limit("x", concurrency: pick(counts))
                : try Limit("x", rate, algorithm: algorithm, maxWait: .microseconds(pick([0, 1_000_000])))
            var charge = Charge(limit.numbers, key: Key(high: 1, low: 2, partition: 3), cost: pick([0] + counts))
            charge.required = max(charge.cost, pick(counts))
            var batch = Batch()
            batch.append(StoreOperation(.decide([charge], id: 9, nil), submitted: start, deadline: start), prefix: "")
            batch.append(StoreOperation(.debit(charge, nil), submitted: start, deadline: start), prefix: "")
            for _ in 0..<20 {
                var reply = ByteBuffer()
                func write(_ value: Double) { reply.writeInteger(value.bitPattern, endianness: .little) }
                write(pick([0, 1, 1e9, 1.79e15, 0x1p53 - 1]))
                for _ in 0..<batch.count {
                    let status = pick([UInt8(6), 8, 9, 10, 11])
                    reply.writeInteger(status)
                    for _ in 0..<(status == 6 ? 1 : 3) { write(pick(values)) }
                }
                guard case .decisions(let decisions)? = batch.results(reply)?.first else { continue }
                remember(charge, decisions[0])
            }
        }
    }

    private func remember(_ charge: Charge, _ decision: Decision) {
        let denials = DenialMemory()
        denials.remember(charge, decision, sent: start, at: start)
        var decisions: [Decision] = []
        _ = denials.answer([charge], at: start + .milliseconds(1), into: &decisions)
        let leases = LeasedUnits()
        for _ in 0..<5 { _ = leases.spend(charge, at: start, into: &decisions) }
        guard leases.startBorrowing(charge, chunk: 10) != nil else { return }
        _ = leases.borrowed(charge, decision, sent: start, at: start)
        _ = leases.spend(charge, at: start + .milliseconds(1), into: &decisions)
        _ = leases.sweep(at: start + .seconds(2))
    }

    @Test("errors are told apart by whether anything was executed")
    func errors() {
        #expect(ServerError("NOSCRIPT No matching script").kind == .noScript)
        #expect(ServerError("MOVED 3999 127.0.0.1:6381").kind == .moved(slot: 3999, host: "127.0.0.1", port: 6381))
        #expect(ServerError("MOVED 3999 ::1:6381").kind == .moved(slot: 3999, host: "::1", port: 6381))
        #expect(ServerError("ASK 1 :7000").kind == .ask(host: "", port: 7000))
        for malformed in [
            "MOVED", "MOVED x y", "MOVED 99999 a:1", "ASK 1 a", "ASK 1 a:0", "MOVED 1 a:99999999999999999999",
        ] {
            let error = ServerError(malformed)
            #expect(error.kind == .other && error.message == malformed)
        }
        #expect(ServerError("TRYAGAIN Multiple keys request during rehashing of slot").kind == .tryAgain)
        #expect(ServerError("LOADING Redis is loading the dataset in memory").kind == .tryAgain)
        #expect(ServerError("CLUSTERDOWN Hash slot not served").kind == .clusterDown)
        #expect(ServerError("READONLY You can't write against a read only replica.").kind == .readOnly)
        #expect(ServerError("ERR Error running script: READONLY You can't write").kind == .readOnly)
        #expect(ServerError("OOM command not allowed").failure.code == .rejected)
        #expect(ServerError("MOVED 3999 127.0.0.1:6381").code == "moved", "a label names no slot and no server")
    }

    @Test(
        "a store's URL is taken apart, and what is wrong with it is said without its password",
        arguments: [
            ("redis://localhost", "redis://localhost:6379"), ("redis://u:p%40ss@h:1/3", "redis://h:1/3"),
            ("rediss://:secret@[::1]:7/", "rediss://[::1]:7"),
            ("redis+cluster://a:1,b:2", "redis+cluster://a:1,b:2"),
            ("redis+sentinel://a,b:2/mymaster", "redis+sentinel://a:26379,b:2/mymaster"),
            ("redis+sentinel://a/m?sentinel_password=secret", "redis+sentinel://a:26379/m"),
            ("valkey://:secret@h", "redis://h:6379"), ("valkeys+cluster://h", "rediss+cluster://h:6379"),
            ("rediss://h?ca=/a.pem&cert=/c.pem&key=/k.pem", "rediss://h:6379"),
        ])
    func addresses(_ url: String, _ text: String) throws {
        #expect(try RedisConfiguration(url: url).description == text)
    }

    @Test(
        "a wrong URL is an error",
        arguments: [
            "redis", "http://a", "redis://", "redis://a:0", "redis://a:x", "redis://a/b", "redis://a,b",
            "redis://a/99999",
            "redis+cluster://a/1", "redis://u:sec/ret@h", "redis://1:2/sec@h", "redis+sentinel://a",
            "redis://:sec%zzret@h", "redis://h?x=1", "rediss://h?cert=/c.pem", "redis://h?sentinel_password=",
            "redis://weir:secret",
        ])
    func wrongAddresses(_ url: String) {
        do {
            _ = try RedisConfiguration(url: url)
            Issue.record("\(url) is taken")
        } catch {
            #expect(!error.description.contains("sec"))
        }
    }

    @Test("SipHash-2-4-128 is what its authors publish, and a key's parts are kept apart")
    func keys() {
        let hasher = KeyHasher(sharedSecret: 0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908)
        // vectors_sip128[15], of the bytes 0 to 14: the seed is the first eight of them.
        let seed: UInt64 = 0x0706_0504_0302_0100
        var words: [UInt64] = []
        let rest = Array<UInt8>(8...14)
        rest.withUnsafeBytes { hasher.append($0, seed: seed, to: &words) }
        #expect(words == [0x11a8_b033_99e9_9354, 0xd9c3_cf97_0fec_087e])
        let left = hasher.key("a", seed: 1)
        #expect(left == KeyHasher(sharedSecret: 0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908).key("a", seed: 1))
        #expect(left != hasher.key("a", seed: 2) && left != hasher.key("b", seed: 1))
        #expect(left != KeyHasher(sharedSecret: 1, 2).key("a", seed: 1))
    }

    @Test("whatever a client chooses, a key on the wire is a hash, in a slot by its first dimension")
    func keyText() {
        let hasher = KeyHasher(sharedSecret: 1, 2)
        var seen: Set<String> = []
        let values = [
            "{a}", "}{", ":", "\u{0}", "\r\n", "a\r\nDEL x", String(repeating: "x", count: 65_536), "", "{}", "weir:",
        ]
        for value in values {
            let text = hasher.key(value, seed: 5).text("weir:")
            #expect(text.wholeMatch(of: /weir:\{[0-9a-f]{2}\}[0-9A-Za-z_-]{19}/) != nil, "\(text)")
            #expect(seen.insert(text).inserted)
        }
        var first: [UInt64] = []
        hasher.append("alice", seed: 0, to: &first)
        var second = first
        hasher.append("predict", seed: 0, to: &second)
        #expect(hasher.key(first, seed: 1).tag == hasher.key(second, seed: 2).tag, "one client's limits share a slot")
        #expect(Slots.slot(of: "123456789".utf8) == 0x31C3 % 16384, "CRC16 of the specification")
    }
}
