/// At most n requests in flight per key.
///
/// Each charge is a permit. The sequence of the charge names it, and a refund gives it back. Time gives nothing back,
/// so there is no `resetAfter`, no `retryAfter`, no debt and no penalty.
struct Concurrency: LimitAlgorithm {
    struct Permit: Equatable, Codable {
        var sequence: UInt64
        var cost: Int64
    }

    struct State: Equatable, Codable {
        var permits: [Permit] = []
        var held: Int64 = 0
    }

    static var fresh: State { State() }

    private let count: Int64

    init(_ numbers: LimitNumbers) {
        count = numbers.count
    }

    func settle(_ state: inout State, at now: Timestamp) {}

    func admission(_ state: State, at now: Timestamp, cost: Int64) -> Admission {
        cost == 0 || state.held + cost <= count ? .allowed(delay: 0) : .denied(retryAfter: nil)
    }

    func charge(_ state: inout State, at now: Timestamp, cost: Int64, sequence: UInt64) {
        state.permits.append(Permit(sequence: sequence, cost: cost))
        state.held += cost
    }

    func penalize(_ state: inout State, at now: Timestamp, cost: Int64) {}

    func debit(_ state: inout State, at now: Timestamp, cost: Int64) {}

    func refund(_ state: inout State, at now: Timestamp, cost: Int64, receipt: Receipt) -> Bool {
        guard let index = state.permits.firstIndex(where: { $0.sequence == receipt.sequence }) else { return false }
        state.held -= state.permits[index].cost
        state.permits.swapAt(index, state.permits.count - 1)
        state.permits.removeLast()
        return true
    }

    func credit(_ state: inout State, at now: Timestamp, cost: Int64) -> Bool { false }

    func standing(_ state: State, at now: Timestamp) -> Standing {
        Standing(remaining: max(0, count - state.held), resetAfter: nil)
    }
}
