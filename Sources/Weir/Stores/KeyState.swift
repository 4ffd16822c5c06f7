/// One key's state, for a store that keeps it elsewhere: in a row of a database, or an item of a key-value service.
///
/// A store reads the states of a request's keys, lets ``decide(_:on:at:lease:)`` change them, and writes them back, all
/// in one transaction. `Codable` turns a state into whatever the store keeps.
public struct KeyState: Sendable, Codable {
    /// An algorithm's state; nil for an unused key.
    enum Kept: Sendable, Codable {
        case arrival(ArrivalTime)
        case fixedWindow(FixedWindow.State)
        case slidingWindow(SlidingWindow.State)
        case log(SlidingLog.State)
        case permits(Concurrency.State)
    }

    private var kept: Kept?
    /// Names the last charge.
    private var sequence: UInt64 = 0
    /// The units that requests under way hold, by the sequence of their charge.
    private var holds: [UInt64: Int64] = [:]
    /// When permits and holds lapse that nobody has given back, by the sequence of their charge.
    private var leases: [UInt64: Timestamp] = [:]
    private var spent = SpentReceipts(most: Self.mostSpent)

    /// The most spent receipts that are remembered. Older ones are refused.
    private static let mostSpent = 1024

    /// Creates the state of an unused key.
    public init() {}

    private struct Encoded: Codable {
        var state: Kept?
        var sequence: UInt64
        var holds: [UInt64: Int64]
        var leases: [UInt64: Timestamp]
        var spent: [UInt64]
        var refused: UInt64
    }

    /// Reads a state that ``encode(to:)`` wrote.
    ///
    /// - Throws: `DecodingError` when it is nothing of the kind. Numbers out of range are brought into it.
    public init(from decoder: any Decoder) throws {
        let encoded = try Encoded(from: decoder)
        kept = encoded.state?.inRange
        sequence = min(encoded.sequence, UInt64(Int64.max))
        holds = encoded.holds.mapValues { min(max(0, $0), Rate.maximumCount) }
        leases = encoded.leases.mapValues { Instant.clamp($0) }
        spent = SpentReceipts(most: Self.mostSpent, refusedUpTo: encoded.refused, spent: encoded.spent)
    }

    /// Writes the state. Its encoding isn't meant to be read by anything else.
    public func encode(to encoder: any Encoder) throws {
        try Encoded(
            state: kept, sequence: sequence, holds: holds, leases: leases, spent: spent.spent,
            refused: spent.refusedUpTo
        ).encode(to: encoder)
    }

    /// Decides all charges of one request together: all are charged, or none is.
    ///
    /// - Parameters:
    ///   - charges: the charges of one request.
    ///   - states: the states of the charges' keys, as far as the store has them. Those that change are replaced, and
    ///     those of new keys are added.
    ///   - now: the time of the decision. It should come from one clock for all instances that share the store.
    ///   - lease: how long a permit, or the units of a request under way, are kept if nobody gives them back, because
    ///     their process has ended. A permit is then free again, and held units are charged. Choose it longer than any
    ///     request takes.
    /// - Returns: one decision per charge, in order.
    public static func decide(
        _ charges: [Charge], on states: inout [Key: KeyState], at now: Instant, lease: Duration = .seconds(3600)
    ) -> [Decision] {
        var passes = true
        for charge in charges { states[charge.key]?.lapse(charge.numbers, at: now) }
        for charge in charges where !charge.isShadow {
            var state = states[charge.key] ?? KeyState()
            let isAllowed = state.visit(charge.numbers, at: now, Ask(required: charge.required)).isAllowed
            passes = passes && isAllowed
        }
        return charges.map { charge in
            states[charge.key, default: KeyState()].conclude(
                charge, passes: passes, at: now, lease: lease)
        }
    }

    private mutating func conclude(
        _ charge: Charge, passes: Bool, at now: Instant, lease: Duration
    ) -> Decision {
        // Time is part of the name, so that a key that was forgotten doesn't use a name again.
        let last = sequence
        sequence = max(sequence &+ 1, UInt64(clamping: now.microseconds))
        let decision = visit(charge.numbers, at: now, Conclude(charge: charge, passes: passes))
        if decision.receipt == nil { sequence = last }
        guard let receipt = decision.receipt else { return decision }
        if charge.isHold { holds[receipt.sequence] = charge.cost }
        if charge.isHold || charge.numbers.algorithm.kind.holdsPermits {
            leases[receipt.sequence] = now.advanced(by: lease).microseconds
        }
        return decision
    }

    /// Frees permits whose lease has ended, and charges held units.
    private mutating func lapse(_ numbers: LimitNumbers, at now: Instant) {
        for (sequence, end) in leases where end <= now.microseconds {
            leases[sequence] = nil
            if let units = holds.removeValue(forKey: sequence) {
                _ = visit(numbers, at: now, Debit(cost: units))
            } else {
                let receipt = Receipt(time: 0, delay: 0, sequence: sequence)
                _ = visit(numbers, at: now, Refund(cost: 1, receipt: receipt))
            }
        }
    }

    /// Applies a change to the key.
    ///
    /// - Parameters:
    ///   - adjustment: the change, whose ``Adjustment/key`` is this state's.
    ///   - now: the present time, by the clock that decisions use.
    /// - Returns: whether anything was changed.
    public mutating func apply(_ adjustment: Adjustment, at now: Instant) -> Bool {
        switch adjustment.kind {
        case .refund(let charge, let receipt):
            let holdsPermits = charge.numbers.algorithm.kind.holdsPermits
            guard holdsPermits || now.microseconds - receipt.time <= Receipt.life else { return false }
            // Spend the receipt even if there is nothing to give back.
            guard holdsPermits || spent.spend(receipt.sequence, of: 0), kept != nil else { return false }
            if holdsPermits { leases[receipt.sequence] = nil }
            return visit(charge.numbers, at: now, Refund(cost: charge.cost, receipt: receipt))
        case .debit(let charge): return visit(charge.numbers, at: now, Debit(cost: charge.cost))
        case .settle(let charge, let receipt, let actual):
            guard holds.removeValue(forKey: receipt.sequence) != nil else { return false }
            leases[receipt.sequence] = nil
            _ = visit(charge.numbers, at: now, Debit(cost: min(max(actual, 0), Rate.maximumCount)))
            return true
        case .credit(let charge):
            return kept == nil ? false : visit(charge.numbers, at: now, Credit(cost: charge.cost))
        case .reset(let numbers, _):
            let isUsed = kept == nil ? false : visit(numbers, at: now, IsUsed(count: numbers.count))
            spent.voidAll(upTo: sequence)
            for sequence in leases.keys where holds[sequence] == nil { leases[sequence] = nil }
            kept = nil
            return isUsed
        }
    }

    /// When the key is again as good as unused, so that a store may forget it. Nil while requests hold units or
    /// permits of it; these lapse when the key is decided after their lease.
    ///
    /// A receipt that was redeemed is remembered for an hour, so that it can't be redeemed again.
    public var expiry: Instant? {
        guard holds.isEmpty else { return nil }
        var end: Timestamp
        switch kept {
        case nil: end = 0
        case .arrival(let state):
            end = Timestamp(clamping: state.scaled.dividedRoundingUp(by: max(1, state.perTick)))
        case .fixedWindow(let state): end = state.end
        case .slidingWindow(let state): end = state.expires
        case .log(let state): end = state.expires
        case .permits(let state):
            guard state.permits.isEmpty else { return nil }
            end = 0
        }
        if sequence > 0 {
            // The last charge's name is its time, or a later one.
            let named = Instant.clamp(Timestamp(clamping: sequence))
            end = max(end, named + (spent.isEmpty ? 1 : Receipt.life))
        }
        return Instant(microseconds: Instant.clamp(end))
    }

    private mutating func visit<Visitor: StateVisitor>(
        _ numbers: LimitNumbers, at now: Instant, _ visitor: Visitor
    ) -> Visitor.Output {
        let host = OneKey(kept)
        let held = holds.values.reduce(0) { min($0 + $1, Rate.maximumCount) }
        // Never nil: unlike the memory store, this always has room for the key.
        let output = host.visit(
            numbers, at: OneKey.Place(now: now.microseconds, sequence: sequence, held: held), visitor)!
        kept = host.kept
        return output
    }

    /// Keeps the state while it is visited.
    private final class OneKey: StateHost {
        struct Place {
            let now: Timestamp
            let sequence: UInt64
            let held: Int64
        }

        var kept: Kept?

        init(_ kept: Kept?) { self.kept = kept }

        func visit<A: LimitAlgorithm, Visitor: StateVisitor>(
            _ algorithm: A, at place: Place, _ visitor: Visitor
        ) -> Visitor.Output? where A.State: KeptState {
            var state = kept.flatMap(A.State.init(kept:)) ?? A.fresh
            algorithm.settle(&state, at: place.now)
            let output = visitor.visit(
                algorithm, &state, at: place.now, sequence: place.sequence, held: place.held)
            if kept != nil || visitor.mayCharge { kept = state.kept }
            return output
        }
    }
}
