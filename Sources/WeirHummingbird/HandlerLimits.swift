import Synchronization
import WeirHTTP

/// What a handler may see and charge of its request's limits. The handler's tasks use it while the middleware works on
/// the request itself, so it is apart from it.
final class HandlerLimits: Sendable {
    private struct State {
        var limits: [ChargeableLimit]
        /// The units that the handler stated for limits whose cost is in the response, by name.
        var stated: [String: Int64] = [:]
        /// The limits that were checked by name. Their permits are held until the request ends.
        var checks: [PooledRequest] = []
        var isOver = false
    }

    private let state: Mutex<State>
    let asker: CheckAsker
    /// Those of the enclosing middleware's request.
    private let enclosing: HandlerLimits?

    init(_ limits: [ChargeableLimit], asker: CheckAsker, enclosing: HandlerLimits?) {
        state = Mutex(State(limits: limits))
        self.asker = asker
        self.enclosing = enclosing
    }

    /// All limits of the request, those of enclosing middlewares first.
    var standings: [LimitStanding] {
        (enclosing?.standings ?? []) + state.withLock { $0.limits.map(\.standing) }
    }

    /// Charges units that the handler says the request costs. When the request is over, nothing is charged.
    ///
    /// - Parameters:
    ///   - units: 0 to 10^9.
    ///   - name: the limit to charge. If nil, those whose cost is in the response; if there are none, all but permits.
    func charge(_ units: Int64, to name: String?) {
        charge(units, to: name, isMetered: name == nil && hasMetered)
    }

    private var hasMetered: Bool {
        state.withLock { $0.limits.contains(where: \.isMetered) } || enclosing?.hasMetered == true
    }

    private func charge(_ units: Int64, to name: String?, isMetered: Bool) {
        state.withLock { state in
            if state.isOver { return }
            for index in state.limits.indices where name == nil || state.limits[index].name == name {
                if state.limits[index].isMetered {
                    // Both windows of a limit have one cost.
                    let isFirst = !state.limits[..<index].contains { $0.name == state.limits[index].name }
                    if isFirst {
                        let sum = state.stated[state.limits[index].name, default: 0] + units
                        state.stated[state.limits[index].name] = min(sum, 1_000_000_000)
                    }
                } else if !isMetered {
                    state.limits[index].charge(units)
                }
            }
        }
        enclosing?.charge(units, to: name, isMetered: isMetered)
    }

    /// Keeps a check that passed until the request ends. If it has ended, permits are freed at once.
    func keep(_ check: PooledRequest) {
        let isKept = state.withLock { state in
            if !state.isOver { state.checks.append(check) }
            return !state.isOver
        }
        if !isKept { check.value.finish(isComplete: true) }
    }

    /// Ends the request and frees the permits of checks.
    ///
    /// - Returns: the units that the handler stated, by the limit's name.
    func end() -> [String: Int64] {
        let (stated, checks) = state.withLock { state in
            state.isOver = true
            defer { state.checks = [] }
            return (state.stated, state.checks)
        }
        for check in checks { check.value.finish(isComplete: true) }
        return stated
    }
}
