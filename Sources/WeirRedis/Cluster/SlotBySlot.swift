import NIOCore
import Synchronization
import Weir

/// Decides one request whose keys are in several slots, one slot after another.
///
/// Each slot charges what it allows. If a later slot denies the request, the earlier charges are refunded by their
/// receipts. Until then, other clients may be denied units that are given back a moment later. The limits never admit
/// too much.
final class SlotBySlot: Sendable {
    private struct State {
        var decisions: [Decision?]
        var next = 0
        var isDenied = false
    }

    private let store: StoreClient
    private let charges: [Charge]
    private let groups: [[Int]]
    private let submitted: NIODeadline
    private let deadline: NIODeadline
    private let answer: PendingAnswer<DecisionResult>
    private let state: Mutex<State>

    init(
        _ store: StoreClient, _ charges: [Charge], submitted: NIODeadline, deadline: NIODeadline,
        _ answer: PendingAnswer<DecisionResult>, eachAlone: Bool = false
    ) {
        self.store = store
        self.charges = charges
        self.submitted = submitted
        self.deadline = deadline
        self.answer = answer
        var groups: [[Int]] = []
        for index in charges.indices {
            let tag = charges[index].key.tag
            if !eachAlone, let place = groups.firstIndex(where: { charges[$0[0]].key.tag == tag }) {
                groups[place].append(index)
            } else {
                groups.append([index])
            }
        }
        // Shadow limits are charged only when all others allow, so groups that have only shadow limits come last.
        self.groups =
            groups.filter { $0.contains { !charges[$0].isShadow } }
            + groups.filter { $0.allSatisfy { charges[$0].isShadow } }
        state = Mutex(State(decisions: Array(repeating: nil, count: charges.count)))
    }

    func start() { askNext() }

    private func askNext() {
        let (group, isDenied) = state.withLock { state -> ([Int]?, Bool) in
            defer { state.next += 1 }
            return (state.next < groups.count ? groups[state.next] : nil, state.isDenied)
        }
        guard let group else { return finish() }
        let asked = group.map { index in
            var charge = charges[index]
            // The request is denied: ask only what each limit would have said, and charge nothing.
            if isDenied { charge.cost = 0 }
            return charge
        }
        let part = PendingAnswer<DecisionResult>()
        part.whenComplete { [self] result in
            switch result {
            case .failure(let failure):
                giveBack()
                answer.complete(.failure(failure))
            case .success(let decisions):
                let denies = zip(asked, decisions).contains { !$0.isShadow && !$1.isAllowed }
                state.withLock { state in
                    for (place, index) in group.enumerated() { state.decisions[index] = decisions[place] }
                    if denies { state.isDenied = true }
                }
                if denies, !isDenied { giveBack() }
                askNext()
            }
        }
        store.submit(
            .decide(asked, id: store.nextSequence(), part), submitted: submitted, deadline: deadline
        )
    }

    private func finish() {
        answer.complete(.success(state.withLock { $0.decisions.map { $0 ?? .unasked } }))
    }

    private func giveBack() {
        let charged = state.withLock { state -> [(Charge, Receipt)] in
            var charged: [(Charge, Receipt)] = []
            for index in charges.indices {
                guard let receipt = state.decisions[index]?.receipt else { continue }
                charged.append((charges[index], receipt))
                state.decisions[index]?.dropReceipt()
            }
            return charged
        }
        for (charge, receipt) in charged { store.giveBack(charge, receipt) }
    }
}
