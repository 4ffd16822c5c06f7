import NIOCore
import Synchronization
import Weir

/// The units of leased limits that this instance has borrowed. The server charges them in chunks, and this instance
/// spends them.
///
/// No request waits for a borrowing. A request that finds too few units here is decided by the server like any other. A
/// key that is asked for several times a second gets units in the background: a few at first, and twice as many each
/// time that they are nearly used up. An instance never holds more units of a key than the chunk, including those that
/// it is about to borrow. It gives back the units that it hasn't spent within a second.
final class LeasedUnits: Sendable {
    /// The result of trying to spend a charge.
    struct Spending {
        /// Whether the charge was decided here; if not, the server must decide.
        var isDecided = false
        /// Whether the caller should borrow for the key.
        var wantsMore = false
        /// Units that have expired; the caller gives them back.
        var unspent: [Unspent] = []
    }

    struct Unspent: Hashable {
        var charge: Charge
        var receipt: Receipt
    }

    /// The units of one borrowing.
    private struct Portion {
        var units: Int64
        var end: NIODeadline
        /// The server's decision, and when the request for it was sent.
        var decision: Decision
        var sent: NIODeadline
    }

    private struct Account {
        var numbers: LimitNumbers
        var portions: [Portion] = []
        /// How many units to borrow: the last amount, less the units that were not spent.
        var size: Int64 = 2
        /// The most units that the account may hold.
        var chunk: Int64 = 1
        var isBorrowing = false
        /// How many requests had to ask the server since ``since``, which is at most a second ago.
        var misses = 0
        var since: NIODeadline
        var notBefore = NIODeadline.uptimeNanoseconds(0)

        var units: Int64 {
            var sum: Int64 = 0
            for index in portions.indices { sum += portions[index].units }
            return sum
        }

        func mayBorrow(at now: NIODeadline) -> Bool { !isBorrowing && now >= notBefore }

        /// Removes portions that have expired or are spent.
        mutating func expire(_ key: Key, at now: NIODeadline, into unspent: inout [Unspent]) {
            while !portions.isEmpty, portions[0].end <= now || portions[0].units == 0 {
                let portion = portions.removeFirst()
                guard portion.units > 0, let receipt = portion.decision.receipt else { continue }
                size = max(1, size - portion.units)
                unspent.append(Unspent(charge: Charge(numbers, key: key, cost: portion.units), receipt: receipt))
            }
        }

        /// Counts a request that must ask the server. Returns whether there were several lately.
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

    /// The most keys to borrow for.
    static let most = 16_384
    private static let longest = TimeAmount.seconds(1)
    private static let several = 4

    private let state = Mutex(State())

    /// How many charges were decided here.
    var spent: UInt64 { state.withLock { $0.spent } }

    /// How many units of a key this instance holds.
    func held(_ key: Key) -> Int64 { state.withLock { $0.accounts[key]?.units ?? 0 } }

    /// The most units of a key that an instance may hold: a tenth of its share of the limit.
    static func chunk(_ numbers: LimitNumbers, sharers: Int) -> Int64 {
        max(1, min(numbers.count, numbers.capacity) / (10 * Int64(max(1, sharers))))
    }

    /// Spends units on a charge if there are enough.
    ///
    /// - Parameter decisions: gets the decision appended if it is made here. Returning it would take as long as making
    ///   it.
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
        // The server's decision, brought up to date with what is known here.
        let latest = account.portions.count - 1
        let passed = Timestamp((now - account.portions[latest].sent).nanoseconds / 1000)
        decisions.append(
            account.portions[latest].decision.later(
                by: passed, remaining: left, charged: charge.cost > 0 ? names.next() : 0))
        spending.isDecided = true
        return spending
    }

    /// How many units to borrow for a key now; nil for none. The caller must then call ``borrowed(_:_:sent:at:)``.
    func startBorrowing(_ charge: Charge, chunk: Int64) -> Int64? {
        state.withLock { state in
            guard let index = state.accounts.index(forKey: charge.key) else { return nil }
            return Self.startBorrowing(&state.accounts.values[index], chunk: chunk)
        }
    }

    private static func startBorrowing(_ account: inout Account, chunk: Int64) -> Int64? {
        // Borrow half of the chunk at most, so that the next units arrive before the last are used up.
        account.chunk = chunk
        account.size = max(1, min(account.size * 2, chunk / 2))
        let amount = min(account.size, chunk - account.units)
        // A chunk of one unit saves nothing over asking.
        guard !account.isBorrowing, chunk > 1, amount > 0 else { return nil }
        account.isBorrowing = true
        return amount
    }

    /// Takes the server's answer to a borrowing.
    ///
    /// - Parameters:
    ///   - charge: the units that were asked for.
    ///   - decision: the server's decision; nil if there is none.
    /// - Returns: units that can no longer be used, for the caller to give back.
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
            // Few units are left, so the server decides who gets them.
            account.size = max(1, min(account.size / 2, decision.remaining / 2))
            account.notBefore = now + .milliseconds(100)
            return false
        }
        let end = sent + lifetime(charge.numbers, decision)
        guard end > now, account.numbers == charge.numbers else { return false }
        account.portions.append(Portion(units: charge.cost, end: end, decision: decision, sent: sent))
        return true
    }

    /// How long units may be spent: a second, but never longer than a period or beyond the end of their window.
    private static func lifetime(_ numbers: LimitNumbers, _ decision: Decision) -> TimeAmount {
        let end: Int64 =
            switch numbers.algorithm.kind {
            case .fixedWindow: Int64(clamping: decision.resetTicks ?? 0)
            case .slidingWindow: numbers.period - decision.timestamp % numbers.period
            // A bucket has no window, and the others can't be leased.
            case .tokenBucket, .slidingLog, .leakyBucket, .concurrency: .max
            }
        return .microseconds(min(1_000_000, numbers.period, end))
    }

    /// Puts back the units of a request that another limit denied. Returns whether there was room for them.
    func putBack(_ charge: Charge, at now: NIODeadline) -> Bool {
        state.withLock { state in
            guard let index = state.accounts.index(forKey: charge.key) else { return false }
            return Self.putBack(charge, into: &state.accounts.values[index], at: now)
        }
    }

    private static func putBack(_ charge: Charge, into account: inout Account, at now: NIODeadline) -> Bool {
        // The borrowing under way assumed that these units were spent.
        guard !account.isBorrowing, account.numbers == charge.numbers, let last = account.portions.indices.last,
            account.portions[last].end > now, account.units + charge.cost <= account.chunk
        else { return false }
        account.portions[last].units += charge.cost
        return true
    }

    /// Forgets the units of a key: a reset has made all earlier charges void.
    func forget(_ key: Key) {
        state.withLock { $0.accounts[key]?.portions = [] }
    }

    /// Removes units that have expired at `now`, and forgets keys that are no longer asked for. Returns units to give
    /// back.
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
