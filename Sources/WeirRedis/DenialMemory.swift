import NIOCore
import Synchronization
import Weir

/// Recent denials. A client that keeps asking after a denial costs the server nothing.
///
/// An entry only answers the same cost of the same key under the same numbers. It lasts until its retry-after, at most
/// a second from when the denied request was sent.
final class DenialMemory: Sendable {
    private struct Question: Hashable {
        var numbers: LimitNumbers
        var key: Key
        var cost: Int64
        var required: Int64

        init(_ charge: Charge) {
            numbers = charge.numbers
            key = charge.key
            cost = charge.cost
            required = charge.required
        }
    }

    private struct Entry {
        var decision: Decision
        var sent: NIODeadline
        var end: NIODeadline
    }

    private struct State {
        /// By key, because a key is forgotten as a whole. Few keys have more than one entry.
        var entries: [Key: [(question: Question, entry: Entry)]] = [:]
        var answered: UInt64 = 0
        /// When expired entries were last searched for to make room.
        var cleared = NIODeadline.uptimeNanoseconds(0)

        mutating func sweep(_ now: NIODeadline) {
            for (key, entries) in entries {
                let left = entries.filter { $0.entry.end > now }
                if left.count < entries.count { self.entries[key] = left.isEmpty ? nil : left }
            }
        }
    }

    /// The most keys to remember. The server answers for all others.
    static let most = 16_384
    private static let longest: Ticks = 1_000_000

    private let state = Mutex(State())
    /// How many keys there are; tells without the lock whether there is anything to look for.
    private let count = Atomic<Int>(0)

    /// How many requests were answered from memory.
    var answered: UInt64 { state.withLock { $0.answered } }

    /// Answers a request if one of its limits denied the same charge a moment ago.
    ///
    /// - Parameter decisions: gets that limit's denial; the other limits are marked as not asked.
    /// - Returns: whether the request was answered.
    func answer(_ charges: [Charge], at now: NIODeadline, into decisions: inout [Decision]) -> Bool {
        // A denied request may owe a penalty to another limit, and only the server can charge it.
        guard count.load(ordering: .relaxed) > 0, !charges.contains(where: \.countsDenied) else { return false }
        for (index, charge) in charges.enumerated() where !charge.isShadow {
            guard let denial = take(charge, at: now) else { continue }
            decisions.removeAll(keepingCapacity: true)
            for place in charges.indices { decisions.append(place == index ? denial : .unasked) }
            return true
        }
        return false
    }

    private func take(_ charge: Charge, at now: NIODeadline) -> Decision? {
        let entry = state.withLock { state -> Entry? in
            let question = Question(charge)
            guard let entry = state.entries[charge.key]?.first(where: { $0.question == question })?.entry,
                entry.end > now
            else { return nil }
            state.answered &+= 1
            return entry
        }
        guard let entry else { return nil }
        var decision = entry.decision
        decision.age(by: max(0, (now - entry.sent).nanoseconds / 1000))
        return decision
    }

    /// Remembers a server's denial.
    func remember(_ charge: Charge, _ decision: Decision, sent: NIODeadline, at now: NIODeadline) {
        // Held units may be given back at any moment.
        guard !decision.isAllowed, !charge.isShadow, !charge.countsDenied, !charge.countsHolds,
            charge.numbers.algorithm != .concurrency
        else { return }
        let wait = min(decision.retryTicks ?? Self.longest, Self.longest)
        let end = sent + .microseconds(Int64(wait))
        guard end > now else { return }
        state.withLock { state in
            if state.entries.count >= Self.most, state.entries[charge.key] == nil {
                // A full search takes a while, so it doesn't happen for every denial.
                guard now - state.cleared > .milliseconds(100) else { return }
                state.cleared = now
                state.sweep(now)
                guard state.entries.count < Self.most else { return }
            }
            let question = Question(charge)
            let entry = Entry(decision: decision, sent: sent, end: end)
            var entries = state.entries[charge.key] ?? []
            entries.removeAll { $0.question == question || $0.entry.end <= now }
            entries.append((question, entry))
            state.entries[charge.key] = entries
            count.store(state.entries.count, ordering: .relaxed)
        }
    }

    /// Forgets a key's denials, because it may have units again.
    func forget(_ key: Key) {
        guard count.load(ordering: .relaxed) > 0 else { return }
        state.withLock { state in
            state.entries[key] = nil
            count.store(state.entries.count, ordering: .relaxed)
        }
    }

    /// Forgets expired entries. A timer calls this, so that an attack leaves nothing behind.
    func sweep(at now: NIODeadline) {
        guard count.load(ordering: .relaxed) > 0 else { return }
        state.withLock { state in
            state.sweep(now)
            count.store(state.entries.count, ordering: .relaxed)
        }
    }
}
