import Synchronization
import Weir

/// The limits that routes have in code, shared by all limiters of one policy.
final class RouteRegistry: Sendable {
    private struct State {
        var names: Set<String> = []
        /// The rules by name, with the routes that each covers.
        var rules: [String: (rule: LimitRule, routes: Set<AppRoute>)] = [:]
        /// The warm-ups that end when the app is ready.
        var readinessChecks: [(path: String, warmUp: WarmUp)] = []
    }

    private let state = Mutex(State())
    private let nests = Atomic<Bool>(false)
    private let middlewares = Atomic<Int>(0)

    /// Whether middlewares may be nested: a route has a limit of its own, or the policy has several middlewares.
    var mayNest: Bool { nests.load(ordering: .acquiring) }

    /// Counts a middleware.
    func addMiddleware() {
        if middlewares.wrappingAdd(1, ordering: .relaxed).newValue > 1 { nests.store(true, ordering: .releasing) }
    }

    /// Adds a limit in code.
    ///
    /// - Parameter taken: names already in use elsewhere.
    /// - Returns: the name that is already in use, if there is one; then nothing is added.
    func add(
        _ rule: LimitRule, readinessChecks: [(path: String, warmUp: WarmUp)], besides taken: Set<String>
    ) -> String? {
        let clash = state.withLock { state -> String? in
            if let clash = rule.windowNames.first(where: { taken.contains($0) || state.names.contains($0) }) {
                return clash
            }
            state.names.formUnion(rule.windowNames)
            state.readinessChecks += readinessChecks
            return nil
        }
        if clash == nil { nests.store(true, ordering: .releasing) }
        return clash
    }

    /// Records that a route is behind a rule.
    func note(_ route: AppRoute, behind rule: LimitRule) {
        state.withLock { _ = $0.rules[rule.name, default: (rule, [])].routes.insert(route) }
    }

    /// The rules in code, with their routes.
    var rules: [(rule: LimitRule, routes: Set<AppRoute>)] {
        state.withLock { $0.rules.values.sorted { $0.rule.name < $1.rule.name } }
    }

    var readinessChecks: [(path: String, warmUp: WarmUp)] { state.withLock { $0.readinessChecks } }
}
