import Synchronization
import Weir
import WeirHTTP

/// The policy in force. It notifies the event loops when it is replaced.
final class PolicyInForce: Sendable {
    private struct State {
        var view: PolicyView
        var slots: LimitSlots
        var listeners: [@Sendable (PolicyView) -> Void] = []
    }

    private let state: Mutex<State>

    init(_ limiter: RequestLimiter, certificates: ServerCertificates? = nil) {
        var slots = LimitSlots()
        let view = PolicyView(
            limiter, certificates: certificates, slots: limiter.limitNames.map { slots.slot(of: $0) })
        state = Mutex(State(view: view, slots: slots))
    }

    var view: PolicyView { state.withLock { $0.view } }

    var limiter: RequestLimiter { view.limiter }

    /// The names of all limits that are or were in force, by slot.
    var limitNames: [String] { state.withLock { $0.slots.names } }

    /// Calls `body` with each policy that replaces this one from now on.
    func onChange(_ body: @escaping @Sendable (PolicyView) -> Void) {
        state.withLock { $0.listeners.append(body) }
    }

    /// Replaces the policy, for exchanges that begin from now on.
    ///
    /// - Parameter certificates: the certificates for connections that begin from now on; nil to keep those in use.
    func replace(_ limiter: RequestLimiter, certificates: ServerCertificates? = nil) {
        limiter.store.limitsDidChange()
        // Notify under the lock, so that two policies reach every listener in the same order.
        state.withLock { state in
            state.view = PolicyView(
                limiter, certificates: certificates ?? state.view.certificates,
                slots: limiter.limitNames.map { state.slots.slot(of: $0) })
            for listener in state.listeners { listener(state.view) }
        }
    }
}

/// Assigns each limit's name a slot for its counters, which stays the same across policies. There are at most
/// ``LimitSlots/most`` slots. Later names share the last one, so that the metrics stay bounded.
struct LimitSlots: Sendable {
    static let most = 10_000

    private(set) var names: [String] = []
    private var places: [String: Int] = [:]

    mutating func slot(of name: String) -> Int {
        if let place = places[name] { return place }
        guard names.count < Self.most else { return Self.most - 1 }
        // All later names share the last slot.
        let name = names.count == Self.most - 1 ? "other" : name
        places[name] = names.count
        names.append(name)
        return names.count - 1
    }
}
