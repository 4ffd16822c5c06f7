import Synchronization

/// Counters in this process's memory: exact under any concurrency, bounded, and swept a little at a time.
///
/// Keys are spread over segments, each with a lock of its own; several limits of one request lock
/// their segments in one order, so they are decided together. At most `capacity` keys are held.
/// When it is reached, keys that have recovered are dropped; active keys never are, and newcomers
/// share one budget for each limit until there is room.
///
/// A key is known by a 64-bit keyed hash: with 10 million keys, the odds that any two of them share
/// a budget are 3 in a million.
public final class MemoryStore: Store, StateHost, @unchecked Sendable {
    // Sendable, because a segment is touched only while its lock is held; the pointer never changes.
    let segments: SegmentMemory
    let mask: UInt64
    let clock: any TickClock
    /// Whether to read the system's clock without asking who `clock` is.
    private let usesSystemClock: Bool

    public let keyHasher: KeyHasher

    /// False: every decision is made at once, in this process.
    public var canFail: Bool { false }

    /// The most keys held, apart from one shared key for each limit.
    public let capacity: Int

    let counters = Counters()

    /// Apart from the store itself, because every decision reads the store, and would wait for its cache line each
    /// time another thread counts.
    final class Counters: Sendable {
        let held = Atomic<Int>(0)
        let dropped = Atomic<UInt64>(0)
        let shared = Atomic<UInt64>(0)
        /// Where the sweep of other segments goes on when the table is full, or in ``maintain(segments:)``.
        let hand = Atomic<Int>(0)
    }

    /// - Parameters:
    ///   - capacity: the most keys held, at least 1. A key takes 30 to 40 bytes (a sliding log, 16
    ///     more for each instant in its period).
    ///   - clock: the system's unless given.
    ///   - keyHasher: secrets of its own unless given.
    public init(capacity: Int = 1_000_000, clock: any TickClock = SystemClock(), keyHasher: KeyHasher = KeyHasher()) {
        self.capacity = max(1, capacity)
        self.keyHasher = keyHasher
        self.clock = clock
        usesSystemClock = clock is SystemClock
        var count = 64
        while count < 8192, count * 256 < self.capacity { count *= 2 }
        mask = UInt64(count - 1)
        segments = SegmentMemory(count: count)
    }

    deinit { segments.deallocate() }

    // MARK: Deciding

    /// Decides one charge, at once.
    public func decideNow(_ charge: Charge) -> Decision {
        if !charge.countsDenied, charge.required == charge.cost {
            return decideNow(charge.numbers, charge.key, cost: charge.cost, at: now())
        }
        return decideFully(charge)
    }

    /// Decides a charge without conditions, at once.
    ///
    /// - Parameter time: read before the key was hashed: the processor then hashes, locks and searches while it still
    ///   waits for its clock, which is half of a decision.
    @inline(__always)
    func decideNow(_ numbers: LimitNumbers, _ key: Key, cost: Int64, at time: Timestamp) -> Decision {
        decideQuickly(numbers, Self.fingerprint(of: key), cost: cost, at: time)
            ?? decideFully(Charge(numbers, key: key, cost: cost))
    }

    /// Nearly every decision there is: a token bucket whose numbers fit 64 bits, and a key that is there. It does no more
    /// than ``decideFully(_:)`` would, in fewer instructions. Nil, and nothing is changed, when that is to decide.
    @inline(__always)
    private func decideQuickly(_ numbers: LimitNumbers, _ fingerprint: UInt64, cost: Int64, at now: Timestamp)
        -> Decision?
    {
        guard let bucket = SmallTokenBucket(numbers, cost: cost) else { return nil }
        let segment = segment(of: fingerprint)
        segments.lock(of: segment).pointee.lock()
        defer { segments.lock(of: segment).pointee.unlock() }
        let sequence = segment.pointee.sequence &+ 1
        guard sequence & Self.sweepMask != 0, let slot = segment.pointee.table.slot(of: fingerprint),
            let decision = bucket.decide(&slot.pointee.cell, at: now, sequence: sequence)
        else { return nil }
        segment.pointee.sequence = sequence
        return decision
    }

    @inline(never)
    private func decideFully(_ charge: Charge) -> Decision {
        let fingerprint = Self.fingerprint(of: charge.key)
        let segment = segment(of: fingerprint)
        segments.lock(of: segment).pointee.lock()
        let now = now()
        let decision = visit(segment, fingerprint, charge.numbers, at: now, Conclude(charge: charge, passes: true))
        paceSweeper(segment, at: now)
        segments.lock(of: segment).pointee.unlock()
        return decision ?? decideShared(charge)
    }

    private func decideShared(_ charge: Charge) -> Decision {
        var decisions: [Decision] = []
        decideTogether([charge], into: &decisions)
        return decisions[0]
    }

    public func decide(_ charges: [Charge], into decisions: inout [Decision]) -> PendingAnswer<DecisionResult>? {
        decisions.removeAll(keepingCapacity: true)
        if charges.count == 1 {
            decisions.append(decideNow(charges[0]))
        } else if !charges.isEmpty {
            decideTogether(charges, into: &decisions)
        }
        return nil
    }

    /// Locks all that the charges touch, asks each limit, then charges all or none.
    private func decideTogether(_ charges: [Charge], into decisions: inout [Decision]) {
        withUnsafeTemporaryAllocation(of: Participant.self, capacity: charges.count) { participants in
            for (index, charge) in charges.enumerated() {
                participants.initializeElement(
                    at: index, to: Participant(fingerprint: Self.fingerprint(of: charge.key)))
            }
            withUnsafeTemporaryAllocation(of: Int.self, capacity: charges.count) { order in
                while true {
                    let locks = lockAll(participants, order)
                    let now = now()
                    let complete = ask(charges, participants, at: now)
                    if complete { conclude(charges, participants, at: now, into: &decisions) }
                    for index in locks { segments.lock(of: segments[order[index]]).pointee.unlock() }
                    // Else a newcomer found no room: it takes its limit's shared key, and all are asked again.
                    if complete { return }
                }
            }
        }
    }

    /// What the decision over several limits remembers of each.
    private struct Participant {
        var fingerprint: UInt64
        var isShared = false
        var admission = Admission.allowed(delay: 0)
    }

    /// Locks the segments of all participants, in rising order so that no two calls can wait for each other.
    /// - Returns: which part of `order` holds their numbers.
    private func lockAll(
        _ participants: UnsafeMutableBufferPointer<Participant>, _ order: UnsafeMutableBufferPointer<Int>
    ) -> Range<Int> {
        var count = 0
        for participant in participants {
            let segment = Int(participant.fingerprint & mask)
            var place = count
            while place > 0, order[place - 1] > segment { place -= 1 }
            if place > 0, order[place - 1] == segment { continue }
            var index = count
            while index > place {
                order[index] = order[index - 1]
                index -= 1
            }
            order[place] = segment
            count += 1
        }
        for index in 0..<count { segments.lock(of: segments[order[index]]).pointee.lock() }
        return 0..<count
    }

    /// Asks every limit without charging. Returns false when one has no room for its key.
    private func ask(
        _ charges: [Charge], _ participants: UnsafeMutableBufferPointer<Participant>, at now: Timestamp
    ) -> Bool {
        var complete = true
        for (index, charge) in charges.enumerated() {
            let participant = participants[index]
            let admission = visit(
                segment(of: participant.fingerprint), participant.fingerprint, charge.numbers, at: now,
                evenIfFull: participant.isShared, Ask(required: charge.required)
            )
            if let admission {
                participants[index].admission = admission
            } else {
                participants[index] = Participant(fingerprint: Self.sharedFingerprint(of: charge.key), isShared: true)
                complete = false
            }
        }
        return complete
    }

    /// Charges all, or none. A shadow limit is charged iff it and all that are not shadow limits allow.
    private func conclude(
        _ charges: [Charge], _ participants: UnsafeMutableBufferPointer<Participant>, at now: Timestamp,
        into decisions: inout [Decision]
    ) {
        var passes = true
        for (index, charge) in charges.enumerated() where !charge.isShadow {
            passes = passes && participants[index].admission.isAllowed
        }
        for (index, charge) in charges.enumerated() {
            let participant = participants[index]
            let decision = visit(
                segment(of: participant.fingerprint), participant.fingerprint, charge.numbers, at: now,
                evenIfFull: true, Conclude(charge: charge, passes: passes, isShared: participant.isShared)
            )
            if let decision { decisions.append(decision) }
            if participant.isShared { counters.shared.wrappingAdd(1, ordering: .relaxed) }
        }
    }

    // MARK: Finding and keeping

    /// Read while the lock is held, so that the times of one key never go back while the clock doesn't; but for one small
    /// token bucket, which may be given times out of order (``SmallTokenBucket``).
    @inline(__always)
    func now() -> Timestamp {
        (usesSystemClock ? SystemClock().now() : clock.now()).clampedToRange
    }

    @inline(__always)
    static func fingerprint(of key: Key) -> UInt64 {
        // 0 marks an empty slot.
        key.low == 0 ? 1 : key.low
    }

    static func sharedFingerprint(of key: Key) -> UInt64 {
        // `high` is the limit's seed, which is secret and the same for all of the limit's keys.
        let product = (key.high | 1).multipliedFullWidth(by: 0x9E37_79B9_7F4A_7C15)
        return (product.high ^ product.low) | 1
    }

    @inline(__always)
    func segment(of fingerprint: UInt64) -> UnsafeMutablePointer<Segment> {
        segments[Int(truncatingIfNeeded: fingerprint & mask)]
    }

    /// Lets a visitor see and change a key's settled state. Returns nil when the key is new and there is no room.
    @inline(__always)
    func visit<Visitor: StateVisitor>(
        _ segment: UnsafeMutablePointer<Segment>, _ fingerprint: UInt64, _ numbers: LimitNumbers, at now: Timestamp,
        evenIfFull: Bool = false, _ visitor: Visitor
    ) -> Visitor.Output? {
        visit(
            numbers, at: Place(segment: segment, fingerprint: fingerprint, now: now, evenIfFull: evenIfFull), visitor)
    }

    /// Where a key's state is kept.
    struct Place {
        let segment: UnsafeMutablePointer<Segment>
        let fingerprint: UInt64
        let now: Timestamp
        let evenIfFull: Bool
    }

    @inline(__always)
    func visit<A: LimitAlgorithm, Visitor: StateVisitor>(
        _ algorithm: A, at place: Place, _ visitor: Visitor
    ) -> Visitor.Output? where A.State: StoredState {
        let (segment, fingerprint, now) = (place.segment, place.fingerprint, place.now)
        segment.pointee.sequence &+= 1
        let sequence = segment.pointee.sequence
        if let index = segment.pointee.table.find(fingerprint) {
            let cell = segment.pointee.table.cell(at: index)
            var state = A.State.load(from: cell, segment.pointee.annex)
            algorithm.settle(&state, at: now)
            let result = visitor.visit(algorithm, &state, at: now, sequence: sequence)
            segment.pointee.table.set(state.save(over: cell, segment.pointee.annexed()), at: index)
            return result
        }
        guard
            place.evenIfFull || counters.held.load(ordering: .relaxed) < capacity
                || dropRecovered(near: segment, at: now)
        else {
            return nil
        }
        var state = A.fresh
        algorithm.settle(&state, at: now)
        let result = visitor.visit(algorithm, &state, at: now, sequence: sequence)
        if visitor.mayCharge { insert(state, fingerprint, segment, at: now) }
        return result
    }

    @inline(never)
    private func insert(
        _ state: consuming some StoredState, _ fingerprint: UInt64, _ segment: UnsafeMutablePointer<Segment>,
        at now: Timestamp
    ) {
        let cell = state.save(over: nil, segment.pointee.annexed())
        guard !cell.isRecovered(at: now) else {
            segment.pointee.annex?.remove(cell)
            return
        }
        let recovered = segment.pointee.makeRoom(at: now)
        segment.pointee.table.insert(fingerprint, cell)
        counters.held.wrappingAdd(1 - recovered, ordering: .relaxed)
        if recovered > 0 { counters.dropped.wrappingAdd(UInt64(recovered), ordering: .relaxed) }
    }
}
