import NIOCore
import Synchronization
import Weir

/// Units of leased limits that this instance has borrowed: charged on the server in chunks, spent here.
///
/// Nobody waits for a borrowing. A request that finds too little here is decided by the server like any other, and a key
/// that is asked for several times a second is borrowed for in the background: a few units first, twice as many each time
/// that they are nearly used up. What an instance holds of a key, what it is about to borrow included, is never more than
/// the chunk; what isn't spent within a second is given back.
final class LeasedUnits: Sendable {
    /// What became of a charge.
    struct Spending {
        /// Whether it was decided here; else the server must be asked.
        var isDecided = false
        /// Whether it is time to borrow for the key.
        var wantsMore = false
        /// What is overdue, to be given back.
        var unspent: [Unspent] = []
    }

    struct Unspent: Hashable {
        var charge: Charge
        var receipt: Receipt
    }

    /// What was borrowed at once.
    private struct Portion {
        var units: Int64
        var end: NIODeadline
        /// The server's decision, and when it was asked for.
        var decision: Decision
        var sent: NIODeadline
    }

    private struct Account {
        var numbers: LimitNumbers
        var portions: [Portion] = []
        /// How much was borrowed last, less what was too much.
        var size: Int64 = 2
        /// The most that may be held.
        var chunk: Int64 = 1
        var isBorrowing = false
        /// How many requests had to ask the server since a time, at most a second ago.
        var misses = 0
        var since: NIODeadline
        var notBefore = NIODeadline.uptimeNanoseconds(0)

        var units: Int64 {
            var sum: Int64 = 0
            for index in portions.indices { sum += portions[index].units }
            return sum
        }

        func mayBorrow(at now: NIODeadline) -> Bool { !isBorrowing && now >= notBefore }

        /// Takes out what is over.
        mutating func expire(_ key: Key, at now: NIODeadline, into unspent: inout [Unspent]) {
            while !portions.isEmpty, portions[0].end <= now || portions[0].units == 0 {
                let portion = portions.removeFirst()
                guard portion.units > 0, let receipt = portion.decision.receipt else { continue }
                size = max(1, size - portion.units)
                unspent.append(Unspent(charge: Charge(numbers, key: key, cost: portion.units), receipt: receipt))
            }
        }

        /// Counts a request that must ask the server. Returns whether there were several of late.
        mutating func miss(at now: NIODeadline) -> Bool {
            if now - since >= LeasedUnits.longest { (misses, since) = (0, now) }
            misses += 1
            return misses >= LeasedUnits.several
        }

        mutating func spend(_ cost: Int64) {
            var cost = cost
            for index in portions.indices where cost > 0 {
                let taken = min(cost, portions[index].units)
                portions[index].units -= taken
                cost -= taken
            }
        }
    }

    private struct State {
        var accounts: [Key: Account] = [:]
        var spent: UInt64 = 0
        var names = ChargeNames()
    }

    /// Keys beyond this are not borrowed for.
    static let most = 16_384
    private static let longest = TimeAmount.seconds(1)
    private static let several = 4

    private let state = Mutex(State())

    /// How many charges were decided here.
    var spent: UInt64 { state.withLock { $0.spent } }

    /// How many units are held for a key.
    func held(_ key: Key) -> Int64 { state.withLock { $0.accounts[key]?.units ?? 0 } }

    /// The most that an instance may hold of a key: a tenth of its share of the limit.
    static func chunk(_ numbers: LimitNumbers, sharers: Int) -> Int64 {
        max(1, min(numbers.count, numbers.capacity) / (10 * Int64(max(1, sharers))))
    }

    /// - Parameter decisions: the decision goes to its end, if it is made here. To hand it on takes as long as to make it.
    func spend(_ charge: Charge, at now: NIODeadline, into decisions: inout [Decision]) -> Spending {
        state.withLock { state in
            guard let index = state.accounts.index(forKey: charge.key) else {
                if state.accounts.count < Self.most, charge.cost > 0, charge.numbers.algorithm.canBeLeased {
                    var account = Account(numbers: charge.numbers, since: now)
                    _ = account.miss(at: now)
                    state.accounts[charge.key] = account
                }
                return Spending()
            }
            let spending = Self.spend(
                charge, from: &state.accounts.values[index], at: now, naming: &state.names, into: &decisions)
            if spending.isDecided { state.spent &+= 1 }
            return spending
        }
    }

    private static func spend(
        _ charge: Charge, from account: inout Account, at now: NIODeadline, naming names: inout ChargeNames,
        into decisions: inout [Decision]
    ) -> Spending {
        var spending = Spending()
        account.expire(
            charge.key, at: account.numbers == charge.numbers ? now : .distantFuture, into: &spending.unspent)
        account.numbers = charge.numbers
        let units = account.units
        guard charge.required > 0, charge.required <= units else {
            spending.wantsMore = charge.cost > 0 && account.miss(at: now) && account.mayBorrow(at: now)
            return spending
        }
        account.spend(charge.cost)
        let left = units - charge.cost
        spending.wantsMore = left < account.size / 2 && account.mayBorrow(at: now)
        // The server's answer, as far as it is known since.
        let latest = account.portions.count - 1
        let passed = Timestamp((now - account.portions[latest].sent).nanoseconds / 1000)
        decisions.append(
            account.portions[latest].decision.later(
                by: passed, remaining: left, charged: charge.cost > 0 ? names.next() : 0))
        spending.isDecided = true
        return spending
    }

    /// How much to borrow for a key now; nil for nothing. Then ``borrowed(_:_:sent:at:)`` must follow.
    func startBorrowing(_ charge: Charge, chunk: Int64) -> Int64? {
        state.withLock { state in
            guard let index = state.accounts.index(forKey: charge.key) else { return nil }
            return Self.startBorrowing(&state.accounts.values[index], chunk: chunk)
        }
    }

    private static func startBorrowing(_ account: inout Account, chunk: Int64) -> Int64? {
        // Half of the chunk each time, so that the next one comes before the last is used up.
        account.chunk = chunk
        account.size = max(1, min(account.size * 2, chunk / 2))
        let amount = min(account.size, chunk - account.units)
        // A chunk of one is no better than asking.
        guard !account.isBorrowing, chunk > 1, amount > 0 else { return nil }
        account.isBorrowing = true
        return amount
    }

    /// Takes the server's answer to a borrowing.
    ///
    /// - Parameter charge: what was asked for.
    /// - Returns: what can't be used any more.
    func borrowed(_ charge: Charge, _ decision: Decision?, sent: NIODeadline, at now: NIODeadline) -> Unspent? {
        let unspent = decision?.receipt.map { Unspent(charge: charge, receipt: $0) }
        return state.withLock { state in
            guard let index = state.accounts.index(forKey: charge.key) else { return unspent }
            let isTaken = Self.take(decision, of: charge, into: &state.accounts.values[index], sent: sent, at: now)
            return isTaken ? nil : unspent
        }
    }

    private static func take(
        _ decision: Decision?, of charge: Charge, into account: inout Account, sent: NIODeadline, at now: NIODeadline
    ) -> Bool {
        account.isBorrowing = false
        guard let decision else {
            account.notBefore = now + Self.longest
            return false
        }
        guard decision.receipt != nil else {
            // Little is left: the server tells who gets it.
            account.size = max(1, min(account.size / 2, decision.remaining / 2))
            account.notBefore = now + .milliseconds(100)
            return false
        }
        let end = sent + lifetime(charge.numbers, decision)
        guard end > now, account.numbers == charge.numbers else { return false }
        account.portions.append(Portion(units: charge.cost, end: end, decision: decision, sent: sent))
        return true
    }

    /// Units live for a second, at most for a period, and never beyond their window.
    private static func lifetime(_ numbers: LimitNumbers, _ decision: Decision) -> TimeAmount {
        var ticks = min(1_000_000, numbers.period)
        if numbers.algorithm == .fixedWindow { ticks = min(ticks, Int64(clamping: decision.resetAfter ?? 0)) }
        if numbers.algorithm == .slidingWindow { ticks = min(ticks, numbers.period - decision.time % numbers.period) }
        return .microseconds(ticks)
    }

    /// Puts back what was spent on a request that another limit denied. Returns whether there was a place for it.
    func putBack(_ charge: Charge, at now: NIODeadline) -> Bool {
        state.withLock { state in
            guard let index = state.accounts.index(forKey: charge.key) else { return false }
            return Self.putBack(charge, into: &state.accounts.values[index], at: now)
        }
    }

    private static func putBack(_ charge: Charge, into account: inout Account, at now: NIODeadline) -> Bool {
        // A borrowing under way counted on these units being spent.
        guard !account.isBorrowing, account.numbers == charge.numbers, let last = account.portions.indices.last,
            account.portions[last].end > now, account.units + charge.cost <= account.chunk
        else { return false }
        account.portions[last].units += charge.cost
        return true
    }

    /// Forgets what was borrowed for a key: it was reset, and what was charged before is void.
    func forget(_ key: Key) {
        state.withLock { $0.accounts[key]?.portions = [] }
    }

    /// Takes out what is over at a time, and forgets keys that nobody asks for any more.
    func sweep(at now: NIODeadline) -> [Unspent] {
        state.withLock { state in
            var unspent: [Unspent] = []
            guard !state.accounts.isEmpty else { return unspent }
            var index = state.accounts.startIndex
            while index != state.accounts.endIndex {
                state.accounts.values[index].expire(state.accounts.keys[index], at: now, into: &unspent)
                state.accounts.formIndex(after: &index)
            }
            state.accounts = state.accounts.filter { _, account in
                account.isBorrowing || !account.portions.isEmpty || now - account.since < Self.longest
            }
            return unspent
        }
    }
}
