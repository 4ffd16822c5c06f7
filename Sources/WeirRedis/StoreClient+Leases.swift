import NIOCore
import Synchronization
import Weir

extension StoreClient {
    /// Decides charges of leased limits with the units that this instance has borrowed. The server decides the rest.
    ///
    /// Either all are charged or none is: if the server denies the request, the units spent on it here are put back.
    func decideLeased(
        _ charges: [Charge], at now: NIODeadline, into decisions: inout [Decision]
    ) -> PendingAnswer<DecisionResult>? {
        var asked: [Int] = []
        for index in charges.indices {
            if charges[index].isLeased, spend(charges[index], at: now, into: &decisions) { continue }
            asked.append(index)
            decisions.append(.unasked)
        }
        if asked.isEmpty { return nil }
        if asked.count == charges.count { return ask(charges, at: now) }
        let answer = PendingAnswer<DecisionResult>()
        let spent = decisions
        ask(asked.map { charges[$0] }, at: now).whenComplete { [self, asked] result in
            answer.complete(join(spent, of: charges, asked, result))
        }
        return answer
    }

    private func join(
        _ spent: [Decision], of charges: [Charge], _ asked: [Int], _ result: DecisionResult
    ) -> DecisionResult {
        var decisions = spent
        var passes = false
        if case .success(let answers) = result {
            for (index, answer) in zip(asked, answers) { decisions[index] = answer }
            passes = asked.allSatisfy { charges[$0].isShadow || decisions[$0].isAllowed }
        }
        if passes { return .success(decisions) }
        for (index, decision) in spent.enumerated() {
            guard let receipt = decision.receipt else { continue }
            if !leases.putBack(charges[index], at: localTime(.now())) { giveBack(charges[index], receipt) }
            decisions[index].remaining += charges[index].cost
            decisions[index].dropReceipt()
        }
        return result.map { _ in decisions }
    }

    /// Returns whether the charge was decided here.
    private func spend(_ charge: Charge, at now: NIODeadline, into decisions: inout [Decision]) -> Bool {
        let spending = leases.spend(charge, at: localTime(now), into: &decisions)
        for unspent in spending.unspent { giveBack(unspent.charge, unspent.receipt) }
        if spending.wantsMore { borrow(charge) }
        return spending.isDecided
    }

    /// How many instances must share a limit; nil while that isn't certain.
    func sharers(at now: NIODeadline) -> Int? {
        instanceCount.withLock { $0.sharers(at: now, heartbeat: .microseconds(options.heartbeatTicks)) }
    }

    private func borrow(_ charge: Charge) {
        let now = NIODeadline.now()
        guard let sharers = sharers(at: now) else { return }
        let chunk = LeasedUnits.chunk(charge.numbers, sharers: sharers)
        guard let units = leases.startBorrowing(charge, chunk: chunk) else { return }
        // Ask as a shadow limit does: a denial of this many units says nothing about a request for fewer.
        let wanted = Charge(charge.numbers, key: charge.key, cost: units, isShadow: true)
        let sent = localTime(now)
        ask([wanted], at: now).whenComplete { [self] result in
            let unspent = leases.borrowed(wanted, try? result.get().first, sent: sent, at: localTime(.now()))
            if let unspent { giveBack(unspent.charge, unspent.receipt) }
        }
    }

    /// Gives back borrowed units that have expired at a time.
    func giveBackUnspent(at time: NIODeadline) {
        for unspent in leases.sweep(at: time) { giveBack(unspent.charge, unspent.receipt) }
    }
}
