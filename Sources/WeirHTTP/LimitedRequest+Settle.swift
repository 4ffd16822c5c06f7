public import Weir

/// The end of a request: what it really cost, and its permits.
extension LimitedRequest {
    /// Gives back what was charged: another limit denied the request after this had let it pass.
    package func giveBack() {
        enclosing?.giveBack()
        for index in decisions.indices where index < charges.count {
            guard let receipt = decisions[index].receipt else { continue }
            _ = chargedStore.apply(.refund(charges[index], receipt))
            decisions[index].dropReceipt()
        }
        meters.removeAll(keepingCapacity: true)
        metersBody = false
    }

    /// Whether something hangs on the end of the response: a cost that is in it, or a permit.
    package var mustFinish: Bool { !meters.isEmpty }

    /// Whether the response must be shown to this object, because a cost is in it.
    public var metersResponse: Bool { meters.contains { $0.meter != nil } }

    func prepareMeters() {
        for (index, charge) in charges.enumerated() {
            if costOverride == nil, case .response(let cost, _, _, _) = limiter.plans[parts[index].rule].rule.cost {
                if charge.isShadow, !decisions[index].allowed { continue }
                meters.append((index, ResponseMeter(cost, bodyLimit: limiter.policy.bodyLimit)))
                if case .json = cost { metersBody = true }
            } else if charge.numbers.algorithm == .concurrency, decisions[index].receipt != nil {
                meters.append((index, nil))
            }
        }
    }

    /// Looks at the response's head, for costs that hang on it.
    ///
    /// - Parameters:
    ///   - status: 100 to 599.
    ///   - header: all values of a response header.
    public func responseHead(status: Int, header: (String) -> [String]) {
        for index in meters.indices { meters[index].meter?.head(status: status, header: header) }
    }

    /// There will be a response, but of a status that nobody knows yet: it costs what the dearest costs.
    package func responseFailed() {
        for index in meters.indices { meters[index].meter?.failed() }
    }

    public func responseBody(_ bytes: UnsafeRawBufferPointer) {
        for index in meters.indices { meters[index].meter?.body(bytes) }
    }

    /// Ends the request: charges or gives back what its response showed, and frees its permits. Later calls do nothing.
    ///
    /// - Parameter isComplete: whether the whole response was seen. Of one that broke off, the reserve is paid at
    ///   least and, where the cost can't be known, the policy's `default`.
    public func finish(isComplete: Bool) {
        guard !meters.isEmpty else { return }
        for (part, meter) in meters {
            let charge = charges[part]
            guard var meter,
                case .response(_, let reserve, let fallback, let most) = limiter.plans[parts[part].rule].rule.cost
            else {
                if let receipt = decisions[part].receipt { _ = chargedStore.apply(.refund(charge, receipt)) }
                continue
            }
            let known = meter.end()
            var actual = known ?? fallback
            if !isComplete { actual = max(actual, reserve) }
            if let most { actual = min(actual, most) }
            settle(charge, decisions[part].receipt, from: reserve, to: actual)
        }
        meters.removeAll(keepingCapacity: true)
        metersBody = false
    }

    private func settle(_ charge: Charge, _ receipt: Receipt?, from reserve: Int64, to actual: Int64) {
        var charge = charge
        if actual > reserve {
            charge.cost = min(actual - reserve, Rate.largestCount)
            _ = chargedStore.apply(.debit(charge))
        } else if actual < reserve, let receipt {
            charge.cost = reserve - actual
            _ = chargedStore.apply(.refund(charge, receipt))
        }
    }

    /// Takes a store's answer that came too late, when nobody waits any more: permits are given back.
    public func abandon(decisions result: DecisionResult) {
        guard case .success(let decisions) = result else { return }
        self.decisions = decisions
        guard decisions.count == charges.count, violatedPolicies.isEmpty else { return }
        prepareMeters()
        finish(isComplete: false)
    }
}
