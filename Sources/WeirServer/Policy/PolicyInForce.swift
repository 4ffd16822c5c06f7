import Synchronization
import Weir
import WeirHTTP

/// The policy in force now. Event loops are told when another takes its place.
final class PolicyInForce: Sendable {
    private struct State {
        var view: PolicyView
        var slots: LimitSlots
        var listeners: [@Sendable (PolicyView) -> Void] = []
    }

    private let state: Mutex<State>

    init(_ limiter: RequestLimiter) {
        var slots = LimitSlots()
        let view = PolicyView(limiter, slots: limiter.limitNames.map { slots.slot(of: $0) })
        state = Mutex(State(view: view, slots: slots))
    }

    var view: PolicyView { state.withLock { $0.view } }

    var limiter: RequestLimiter { view.limiter }

    /// The names of the limits that are or were in force, by their slots.
    var limitNames: [String] { state.withLock { $0.slots.names } }

    /// Calls `body` with each policy that is put in force from now on.
    func onChange(_ body: @escaping @Sendable (PolicyView) -> Void) {
        state.withLock { $0.listeners.append(body) }
    }

    /// Puts another policy in force, for the exchanges that begin from now on.
    func replace(_ limiter: RequestLimiter) {
        limiter.store.limitsDidChange()
        // Under the lock, so that two policies reach every listener in the same order.
        state.withLock { state in
            state.view = PolicyView(limiter, slots: limiter.limitNames.map { state.slots.slot(of: $0) })
            for listener in state.listeners { listener(state.view) }
        }
    }
}

/// Gives each limit's name a place to be counted in, which it keeps over all policies. There are at most
/// ``LimitSlots/most`` of them; later names share one, so that the metrics stay bounded.
struct LimitSlots: Sendable {
    static let most = 10_000

    private(set) var names: [String] = []
    private var places: [String: Int] = [:]

    mutating func slot(of name: String) -> Int {
        if let place = places[name] { return place }
        guard names.count < Self.most else { return Self.most - 1 }
        // The last place is shared by all that come after it.
        let name = names.count == Self.most - 1 ? "other" : name
        places[name] = names.count
        names.append(name)
        return names.count - 1
    }
}
