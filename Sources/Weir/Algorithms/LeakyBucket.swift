/// A queue that drains at n requests per period, without a burst: the leaky bucket as a queue, as in nginx's
/// `limit_req`.
///
/// A request takes one slot per unit of cost and is delayed until the first of them. It is denied if that delay would
/// exceed `max_wait`. The state is the first free slot. Slots are exactly P/n apart; a delay is rounded up to a tick,
/// so no request is released before its slot.
///
/// The capacity, for cost, debt and penalty, is n slots. Admission alone can queue up to `max_wait` plus one capacity.
/// Only slots beyond that are debt, so admitted requests never cause a peek to be denied.
struct LeakyBucket: LimitAlgorithm {
    static var fresh: ArrivalTime { .fresh }

    private let count: Int64
    /// The distance between two slots, in units of 1/n tick.
    private let slot: Int128
    /// n slots, in units of 1/n tick.
    private let full: Int128
    private let maxWait: Timestamp
    /// `max_wait`, in units of 1/n tick.
    private let longestWait: Int128
    /// How far ahead admission or debt can put the first free slot, in units of 1/n tick.
    private var furthest: Int128 { max(2 * full, longestWait + full) }

    init(_ numbers: LimitNumbers) {
        count = numbers.count
        slot = Int128(numbers.period)
        full = Int128(numbers.count) * slot
        maxWait = numbers.maxWait
        longestWait = Int128(numbers.maxWait) * Int128(numbers.count)
    }

    func settle(_ state: inout ArrivalTime, at now: Timestamp) {
        state.convert(to: count)
        if state.ahead(of: now) > furthest { state.set(ahead: furthest, of: now) }
    }

    func admission(_ state: ArrivalTime, at now: Timestamp, cost: Int64) -> Admission {
        admission(state, at: now, cost: cost, held: 0)
    }

    /// Held units are slots that are taken at the end of the queue.
    func admission(_ state: ArrivalTime, at now: Timestamp, cost: Int64, held: Int64) -> Admission {
        let heldSlots = Int128(held) * slot
        let wait = state.ahead(of: now) + heldSlots
        if cost > count { return .denied(retryAfter: nil) }
        let most = cost == 0 ? full + longestWait : longestWait
        guard wait > most else {
            return .allowed(delay: cost == 0 ? 0 : Timestamp(clamping: wait.dividedRoundingUp(by: count)))
        }
        return .denied(retryAfter: heldSlots > most ? nil : (wait - most).dividedRoundingUp(by: count))
    }

    func charge(_ state: inout ArrivalTime, at now: Timestamp, cost: Int64, sequence: UInt64) {
        state.set(ahead: state.ahead(of: now) + Int128(cost) * slot, of: now)
    }

    func penalize(_ state: inout ArrivalTime, at now: Timestamp, cost: Int64) {
        add(cost, to: &state, at: now, upTo: full)
    }

    func debit(_ state: inout ArrivalTime, at now: Timestamp, cost: Int64) {
        add(cost, to: &state, at: now, upTo: furthest)
    }

    /// Refunds only the last request in the queue: later requests already hold the slots behind any other.
    func refund(_ state: inout ArrivalTime, at now: Timestamp, cost: Int64, receipt: Receipt) -> Bool {
        let start = state.scaled - Int128(cost) * slot
        guard start >= 0, start.dividedRoundingUp(by: count) == Int128(receipt.time) + Int128(receipt.delay)
        else { return false }
        let used = state.ahead(of: now)
        state.scaled = start
        return used > 0
    }

    func credit(_ state: inout ArrivalTime, at now: Timestamp, cost: Int64) -> Bool {
        let used = state.ahead(of: now)
        guard used > 0, cost > 0 else { return false }
        state.set(ahead: max(0, used - Int128(cost) * slot), of: now)
        return true
    }

    func standing(_ state: ArrivalTime, at now: Timestamp) -> Standing {
        standing(state, at: now, held: 0)
    }

    func standing(_ state: ArrivalTime, at now: Timestamp, held: Int64) -> Standing {
        let used = state.ahead(of: now)
        let wait = used + Int128(held) * slot
        return Standing(
            remaining: wait <= longestWait ? (longestWait - wait).dividedRoundingDown(by: Int64(slot)) + 1 : 0,
            resetAfter: used.dividedRoundingUp(by: count)
        )
    }

    private func add(_ cost: Int64, to state: inout ArrivalTime, at now: Timestamp, upTo most: Int128) {
        let used = state.ahead(of: now)
        let after = min(used + Int128(cost) * slot, most)
        // Leave the instant alone when nothing is charged. Rewriting it would put it in the future if the clock goes
        // back.
        if after > used { state.set(ahead: after, of: now) }
    }
}
