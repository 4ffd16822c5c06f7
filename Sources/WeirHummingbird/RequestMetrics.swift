import CoreMetrics
import Weir
import WeirHTTP

/// The counters of one middleware, under the gateway's names. Their dimensions are limits, outcomes, statuses and
/// reasons, never clients, so the series are bounded.
final class RequestMetrics: Sendable {
    private struct Outcomes: Sendable {
        let allowed, delayed, denied, shadowDenied: Counter

        init(_ limit: String) {
            func counter(_ outcome: String) -> Counter {
                Counter(
                    label: "weir_limit_requests_total", dimensions: [("limit", limit), ("outcome", outcome)])
            }
            allowed = counter("allowed")
            delayed = counter("delayed")
            denied = counter("denied")
            shadowDenied = counter("shadow_denied")
        }

        func count(_ outcome: LimitedRequest.Outcome) {
            if !outcome.allowed {
                (outcome.isShadow ? shadowDenied : denied).increment()
            } else {
                (outcome.isDelayed ? delayed : allowed).increment()
            }
        }
    }

    /// By the limits' order in the policy.
    private let limits: [Outcomes]
    /// By the limits' order in the whole policy, of which handlers may check any.
    private let checks: [Outcomes]
    private let names: [String]
    private let decisions = Timer(label: "weir_decision_seconds")
    private let exempt = Counter(label: "weir_exempt_requests_total")
    private let delayed = Meter(label: "weir_delayed_requests")

    /// Nil when nobody collects metrics, so that counting costs nothing.
    ///
    /// - Parameters:
    ///   - names: the limits that the middleware applies.
    ///   - policy: the limits of the whole policy.
    init?(limits names: [String], of policy: [String]) {
        guard !(MetricsSystem.factory is NOOPMetricsHandler) else { return nil }
        self.names = names
        limits = names.map(Outcomes.init)
        checks = policy.map(Outcomes.init)
    }

    func count(_ outcome: LimitedRequest.Outcome) {
        if limits.indices.contains(outcome.rule) { limits[outcome.rule].count(outcome) }
    }

    /// Counts a check of a limit by its name, which may be a limit that this middleware doesn't apply itself.
    func countCheck(_ outcome: LimitedRequest.Outcome) {
        if checks.indices.contains(outcome.rule) { checks[outcome.rule].count(outcome) }
    }

    /// Counts a request that no limit applies to, because it is exempt or carries the bypass secret.
    func countExempt() { exempt.increment() }

    /// The time at which a decision starts.
    func start() -> ContinuousClock.Instant { ContinuousClock.now }

    func countDecision(since start: ContinuousClock.Instant?) {
        guard let start else { return }
        let (seconds, attoseconds) = (ContinuousClock.now - start).components
        decisions.recordNanoseconds(seconds &* 1_000_000_000 &+ attoseconds / 1_000_000_000)
    }

    func countRejected(_ status: Int) {
        Counter(label: "weir_rejected_total", dimensions: [("status", "\(status)")]).increment()
    }

    func count(_ failure: StoreError) {
        Counter(label: "weir_store_failures_total", dimensions: [("reason", failure.code.rawValue)]).increment()
    }

    func countUnknownCost(rule: Int, reason: String) {
        guard names.indices.contains(rule) else { return }
        Counter(label: "weir_cost_unknown_total", dimensions: [("limit", names[rule]), ("reason", reason)]).increment()
    }

    func delayBegins() { delayed.increment() }
    func delayEnds() { delayed.decrement() }
}

/// The gauges of a store, under the gateway's names.
struct StoreMetrics: Sendable {
    private let store: any Store

    /// Nil when nobody collects metrics.
    init?(_ store: any Store) {
        guard !(MetricsSystem.factory is NOOPMetricsHandler) else { return nil }
        self.store = store
    }

    func record() {
        let report = store.report
        if let memory = report.memory {
            Gauge(label: "weir_store_keys").record(memory.keys)
            Gauge(label: "weir_store_keys_dropped_total").record(memory.dropped)
            Gauge(label: "weir_store_shared_total").record(memory.sharedBudgetDecisions)
        }
        if let shared = report.shared {
            Gauge(label: "weir_store_up").record(shared.isAvailable ? 1 : 0)
            Gauge(label: "weir_store_instances").record(shared.instances)
            Gauge(label: "weir_store_answered_locally_total").record(shared.answeredLocally)
            Gauge(label: "weir_store_leased_total").record(shared.leased)
        }
    }
}
