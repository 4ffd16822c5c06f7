import Synchronization

/// Counters in this process's memory: exact under any concurrency, bounded, and swept a little at a time.
///
/// Keys are spread over segments, each with its own lock. Several limits of one request lock their segments in one
/// order, so they are decided together. The store holds at most `capacity` keys. When it is full, it drops keys that
/// have recovered, but never active ones; until there is room, a limit's new keys share one budget.
///
/// A key is known by a 64-bit keyed hash. With 10 million keys, the odds that any two of them share a budget are 3 in a
/// million.
public final class MemoryStore: Store, StateHost, @unchecked Sendable {
    // The pointer never changes, and a segment is touched only under its lock. That makes the store Sendable.
    let segments: SegmentMemory
    let mask: UInt64
    let clock: any TickClock
    /// Whether to read the system's clock directly instead of through the protocol.
    private let usesSystemClock: Bool

    /// Makes keys with secrets of this process, unless the initializer was given a hasher.
    public let keyHasher: KeyHasher

    /// False: the store answers every call at once.
    public var canFail: Bool { false }

    /// The most keys held, not counting one shared key per limit.
    public let capacity: Int

    let counters = Counters()

    /// The counters are kept apart from the store. Every decision reads the store, and would wait for its cache line
    /// each time a different thread counts.
    final class Counters: Sendable {
        let held = Atomic<Int>(0)
        let dropped = Atomic<UInt64>(0)
        let shared = Atomic<UInt64>(0)
        /// Where a full store, or ``maintain(segments:)``, continues to sweep.
        let hand = Atomic<Int>(0)
    }

    /// Creates an empty store.
    ///
    /// - Parameters:
    ///   - capacity: the most keys held, at least 1. A key takes 30 to 40 bytes; a sliding log takes 16 more for each
    ///     instant in its period.
    ///   - clock: the system's by default.
    ///   - keyHasher: one with new secrets by default.
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

    /// Decides one charge at once.
    package func decideNow(_ charge: Charge) -> Decision {
        if !charge.countsDenied, charge.required == charge.cost, !charge.isHold {
            return decideNow(charge.numbers, charge.key, cost: charge.cost, at: now())
        }
        return decideFully(charge)
    }

    /// Decides a charge without conditions at once.
    ///
    /// - Parameter time: the time, read before the key was hashed. Reading the clock is half of a decision; this way
    ///   the processor hashes, locks and searches while it waits for the clock.
    @inline(__always)
    func decideNow(_ numbers: LimitNumbers, _ key: Key, cost: Int64, at time: Timestamp) -> Decision {
        decideQuickly(numbers, Self.fingerprint(of: key), cost: cost, at: time)
            ?? decideFully(Charge(numbers, key: key, cost: cost))
    }

    /// Decides what nearly every decision is: a token bucket whose numbers fit in 64 bits, and a key in the table. Does
    /// the same as ``decideFully(_:)`` in fewer instructions.
    ///
    /// - Returns: nil, with nothing changed, when ``decideFully(_:)`` must decide.
    @inline(__always)
    private func decideQuickly(_ numbers: LimitNumbers, _ fingerprint: UInt64, cost: Int64, at now: Timestamp)
        -> Decision?
    {
        guard let bucket = SmallTokenBucket(numbers, cost: cost) else { return nil }
        let segment = segment(of: fingerprint)
        segments.lock(of: segment).pointee.lock()
        defer { segments.lock(of: segment).pointee.unlock() }
        let sequence = segment.pointee.sequence &+ 1
        guard sequence & Self.sweepMask != 0, segment.pointee.heldKeys == 0,
            let slot = segment.pointee.table.slot(of: fingerprint),
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
        hold(charge, by: decision, of: fingerprint)
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

    /// Locks every segment involved, asks each limit, then charges all of them or none.
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
                    // A new key found no room. It now uses its limit's shared budget, and every limit is asked again.
                    if complete { return }
                }
            }
        }
    }

    /// One limit's part in a decision over several.
    private struct Participant {
        var fingerprint: UInt64
        var isShared = false
        var admission = Admission.allowed(delay: 0)
    }

    /// Locks the segments of all participants in rising order, so that no two calls can wait for each other.
    ///
    /// - Returns: the part of `order` that holds the segments' numbers.
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

    /// Asks every limit without charging. Returns false when the store has no room for one of the keys.
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

    /// Charges all limits or none. A shadow limit is charged if it and every enforced limit allow.
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
            hold(charge, by: decision, of: participant.fingerprint)
            if let decision { decisions.append(decision) }
            if participant.isShared { counters.shared.wrappingAdd(1, ordering: .relaxed) }
        }
    }

    /// Keeps the hold that a decision made.
    @inline(__always)
    private func hold(_ charge: Charge, by decision: Decision?, of fingerprint: UInt64) {
        guard charge.isHold, let receipt = decision?.receipt else { return }
        segment(of: fingerprint).pointee.hold(charge.cost, of: fingerprint, sequence: receipt.withoutMark.sequence)
    }

    // MARK: Finding and keeping

    /// The time, read under the lock so that a key's times never go back unless the clock does. The exception is
    /// ``SmallTokenBucket``, which accepts times out of order.
    @inline(__always)
    func now() -> Timestamp {
        Instant.clamp(usesSystemClock ? SystemClock.microseconds : clock.timestamp)
    }

    @inline(__always)
    static func fingerprint(of key: Key) -> UInt64 {
        // 0 marks an empty slot.
        key.low == 0 ? 1 : key.low
    }

    static func sharedFingerprint(of key: Key) -> UInt64 {
        // `high` is the limit's seed, which is secret and the same for all keys of the limit.
        let product = (key.high | 1).multipliedFullWidth(by: 0x9E37_79B9_7F4A_7C15)
        return (product.high ^ product.low) | 1
    }

    @inline(__always)
    func segment(of fingerprint: UInt64) -> UnsafeMutablePointer<Segment> {
        segments[Int(truncatingIfNeeded: fingerprint & mask)]
    }

    /// Lets `visitor` see and change a key's settled state. Returns nil when the key is new and the store has no room
    /// for it.
    @inline(__always)
    func visit<Visitor: StateVisitor>(
        _ segment: UnsafeMutablePointer<Segment>, _ fingerprint: UInt64, _ numbers: LimitNumbers, at now: Timestamp,
        evenIfFull: Bool = false, _ visitor: Visitor
    ) -> Visitor.Output? {
        visit(
            numbers, at: Place(segment: segment, fingerprint: fingerprint, now: now, evenIfFull: evenIfFull), visitor)
    }

    /// Where a key's state is kept, and when it is visited.
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
        let held = segment.pointee.held(of: fingerprint)
        if let index = segment.pointee.table.find(fingerprint) {
            let cell = segment.pointee.table.cell(at: index)
            var state = A.State.load(from: cell, segment.pointee.annex)
            algorithm.settle(&state, at: now)
            let result = visitor.visit(algorithm, &state, at: now, sequence: sequence, held: held)
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
        let result = visitor.visit(algorithm, &state, at: now, sequence: sequence, held: held)
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
