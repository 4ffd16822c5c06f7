import Weir

/// The Prometheus text format (0.0.4). Labels are limits and outcomes, never clients, so the series are bounded.
struct MetricsText {
    private(set) var text = ""

    init(
        _ metrics: LoopMetrics, limits names: [String], certificates: [ServerCertificates.Expiry],
        store: StoreReport, droppedLogLines: UInt64
    ) {
        family("weir_limit_requests_total", "counter", "Requests decided, by limit and outcome.")
        let limits = names.enumerated().sorted { $0.element < $1.element }.map { slot, name in
            (name, slot < metrics.limits.count ? metrics.limits[slot] : LoopMetrics.LimitCounts())
        }
        for (name, counts) in limits {
            sample("weir_limit_requests_total", "limit=\"\(name)\",outcome=\"allowed\"", counts.allowed)
            sample("weir_limit_requests_total", "limit=\"\(name)\",outcome=\"denied\"", counts.denied)
            sample("weir_limit_requests_total", "limit=\"\(name)\",outcome=\"shadow_denied\"", counts.shadowDenied)
        }
        unknownCosts(metrics, names)
        family("weir_responses_total", "counter", "Responses sent to clients, by status class.")
        for status in 1...5 { sample("weir_responses_total", "class=\"\(status)xx\"", metrics.responses[status]) }
        family(
            "weir_rejected_total", "counter",
            "Requests answered by Weir itself for reasons other than a limit, by status.")
        for (status, count) in metrics.rejected.sorted(by: { $0.key < $1.key }) {
            sample("weir_rejected_total", "status=\"\(status)\"", count)
        }
        family("weir_upstream_failures_total", "counter", "Exchanges that the upstream failed.")
        sample("weir_upstream_failures_total", "", metrics.upstreamFailures)
        family("weir_connections", "gauge", "Client connections.")
        sample("weir_connections", "", UInt64(max(0, metrics.connections)))
        family("weir_http2_streams", "gauge", "Requests in progress on HTTP/2 connections.")
        sample("weir_http2_streams", "", UInt64(max(0, metrics.streams)))
        clientFaults(metrics)
        self.certificates(certificates)
        family("weir_delayed_requests", "gauge", "Requests held by a leaky bucket.")
        sample("weir_delayed_requests", "", UInt64(max(0, metrics.delayed)))
        histogram("weir_decision_seconds", "Time to decide a request.", metrics.decisionTime)
        if let memory = store.memory { keys(memory) }
        if let shared = store.shared { self.shared(shared, metrics) }
        family(
            "weir_denials_suppressed_total", "counter",
            "Denials not logged because there were more than log.denials_per_second, or than ten of one client.")
        for (name, counts) in limits { sample("weir_denials_suppressed_total", "limit=\"\(name)\"", counts.suppressed) }
        family(
            "weir_log_lines_dropped_total", "counter", "Log lines dropped because the log's reader could not keep up.")
        sample("weir_log_lines_dropped_total", "", droppedLogLines)
    }

    private mutating func unknownCosts(_ metrics: LoopMetrics, _ names: [String]) {
        family(
            "weir_cost_unknown_total", "counter",
            "Responses that should have said their cost and did not, by limit and reason.")
        let costs = metrics.unknownCosts.compactMap { cost, count in
            cost.slot < names.count ? (names[cost.slot], cost.reason, count) : nil
        }
        for (name, reason, count) in costs.sorted(by: { ($0.0, $0.1) < ($1.0, $1.1) }) {
            sample("weir_cost_unknown_total", "limit=\"\(name)\",reason=\"\(reason)\"", count)
        }
    }

    private mutating func clientFaults(_ metrics: LoopMetrics) {
        family(
            "weir_connections_refused_total", "counter",
            "Connections and HTTP/2 streams refused because there were too many, in all or from one address.")
        sample("weir_connections_refused_total", "", metrics.refusedConnections)
        family(
            "weir_forwarded_address_ignored_total", "counter",
            "Requests whose forwarded address was ignored, because their sender is not in trusted_proxies.")
        sample("weir_forwarded_address_ignored_total", "", metrics.ignoredAddresses)
        family("weir_tls_handshake_failures_total", "counter", "TLS handshakes that failed or took too long.")
        sample("weir_tls_handshake_failures_total", "", metrics.failedHandshakes)
        family(
            "weir_http2_errors_total", "counter",
            "HTTP/2 connections closed, and streams reset, because the client broke the protocol or flooded.")
        sample("weir_http2_errors_total", "scope=\"connection\"", metrics.brokenHTTP2Connections)
        sample("weir_http2_errors_total", "scope=\"stream\"", metrics.brokenHTTP2Streams)
    }

    private mutating func certificates(_ certificates: [ServerCertificates.Expiry]) {
        guard !certificates.isEmpty else { return }
        family("weir_tls_certificate_expiry_timestamp_seconds", "gauge", "When a certificate expires, as a Unix time.")
        // Two certificates may have one name; only the first to expire matters.
        let times = Dictionary(certificates.map { ($0.name, $0.time) }, uniquingKeysWith: min)
        for (name, time) in times.sorted(by: { $0.key < $1.key }) {
            let name = name.filter { $0 != "\"" && $0 != "\\" && !$0.isNewline }
            text += "weir_tls_certificate_expiry_timestamp_seconds{name=\"\(name)\"} \(time)\n"
        }
    }

    private mutating func keys(_ store: StoreReport.Memory) {
        family("weir_store_keys", "gauge", "Keys held in memory.")
        sample("weir_store_keys", "", UInt64(max(0, store.keys)))
        family("weir_store_keys_dropped_total", "counter", "Keys dropped because their limit had recovered.")
        sample("weir_store_keys_dropped_total", "", store.dropped)
        family("weir_store_shared_total", "counter", "Decisions on a shared budget, because the store was full.")
        sample("weir_store_shared_total", "", store.sharedBudgetDecisions)
    }

    private mutating func shared(_ store: StoreReport.Shared, _ metrics: LoopMetrics) {
        family("weir_store_failures_total", "counter", "Requests decided without the store, by why it did not answer.")
        for (code, count) in metrics.storeFailures.sorted(by: { $0.key < $1.key }) {
            sample("weir_store_failures_total", "reason=\"\(code)\"", count)
        }
        family("weir_store_up", "gauge", "Whether the store answers.")
        sample("weir_store_up", "", store.isAvailable ? 1 : 0)
        family("weir_store_instances", "gauge", "Instances that share the store.")
        sample("weir_store_instances", "", UInt64(max(0, store.instances)))
        family("weir_store_answered_locally_total", "counter", "Denials answered without the store.")
        sample("weir_store_answered_locally_total", "", store.answeredLocally)
        family("weir_store_leased_total", "counter", "Charges of leased limits decided by borrowed units.")
        sample("weir_store_leased_total", "", store.leased)
        family("weir_store_late_charges_total", "counter", "Charges that came too late and were given back.")
        sample("weir_store_late_charges_total", "", store.lateCharges)
    }

    private mutating func histogram(_ name: String, _ help: String, _ histogram: Histogram) {
        family(name, "histogram", help)
        var sum: UInt64 = 0
        for (index, bound) in Histogram.bounds.enumerated() {
            sum += histogram.counts[index]
            sample(name + "_bucket", "le=\"\(Double(bound) / 1e9)\"", sum)
        }
        sample(name + "_bucket", "le=\"+Inf\"", histogram.total)
        text += "\(name)_sum \(Double(histogram.sum) / 1e9)\n"
        sample(name + "_count", "", histogram.total)
    }

    private mutating func family(_ name: String, _ type: String, _ help: String) {
        text += "# HELP \(name) \(help)\n# TYPE \(name) \(type)\n"
    }

    private mutating func sample(_ name: String, _ labels: String, _ value: UInt64) {
        text += labels.isEmpty ? "\(name) \(value)\n" : "\(name){\(labels)} \(value)\n"
    }
}
