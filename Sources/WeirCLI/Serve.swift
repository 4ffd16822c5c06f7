import ArgumentParser
import Foundation
import Logging
import ServiceLifecycle
import Synchronization
import UnixSignals
import Weir
import WeirAdmin
import WeirHTTP
import WeirRedis
import WeirServer

struct Serve: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Protect an API: check each request against a policy, and forward those that pass.",
        discussion: """
            WEIR_LISTEN, WEIR_UPSTREAM, WEIR_ADMIN, WEIR_THREADS and WEIR_STORE, in the environment or in .env, override \
            the policy. WEIR_KEY_SECRET is the secret with which keys are hashed in a shared store. SIGHUP or a change \
            of the file reloads the policy. SIGTERM finishes the requests in progress, then exits.
            """,
        aliases: ["start", "run"]
    )

    @OptionGroup var policy: PolicyOption

    @Argument(help: "The policy file, without --config.")
    var file: String?

    @Flag(help: "Exit if the shared store can't be reached at startup.")
    var requireStore = false

    func validate() throws { try policy.check(file) }

    func run() async throws {
        let config = policy.path(file)
        let environment = try await Settings.environment()
        for warning in Settings.warnings(environment) { complain("weir: warning: \(warning)") }
        let loaded: LoadedPolicy
        do {
            loaded = try await LoadedPolicy.load(config, environment: environment)
        } catch {
            complain("\(error)")
            throw policyErrorCode
        }
        for warning in loaded.warnings { complain(warning.description) }
        var effective = loaded.policy
        do {
            try Settings.apply(environment, to: &effective)
            let store = try await SharedStore.open(effective, environment, isRequired: requireStore)
            let server = try GatewayServer(
                policy: loaded.policy, verifier: loaded.verifier, certificates: loaded.certificates,
                settings: effective.gateway, store: store, keySecret: Settings.keySecret(environment))
            let upstream = effective.gateway.upstream ?? ""
            try await server.run(watching: config, environment: environment) { gateways, admin in
                complain("weir: listening on \(gateways.joined(separator: ", ")), forwarding to \(upstream)")
                if let admin { complain("weir: metrics on http://\(admin)/metrics") }
            }
        } catch let error as any CustomStringConvertible {
            complain("weir: \(error)")
            throw ExitCode.failure
        }
    }
}

/// The gateway and its services, as run by `serve` and `demo`.
struct GatewayServer {
    let settings: GatewaySettings
    let limiter: RequestLimiter
    private let certificates: ServerCertificates?
    private let store: RedisStore?
    private let log = LineWriter(descriptor: 2)

    /// - Parameters:
    ///   - store: the store for counters, or nil to keep them in memory.
    ///   - keySecret: the secret that names clients in the log, or nil to make one up.
    /// - Throws: ``PolicyError`` if the policy can't be used.
    init(
        policy: Policy, verifier: (any TokenVerifier)? = nil, certificates: ServerCertificates? = nil,
        settings: GatewaySettings, store: RedisStore? = nil, keySecret: String? = nil
    ) throws {
        self.settings = settings
        self.certificates = certificates
        self.store = store
        limiter = try RequestLimiter(
            // The environment may have chosen memory where the policy names a server.
            policy: policy, store: store ?? policy.makeMemoryStore(), verifier: verifier,
            clientHasher: keySecret.map { KeyHasher(keySecret: $0) })
    }

    /// Runs until SIGTERM or SIGINT.
    ///
    /// - Parameters:
    ///   - path: the policy file, which is reloaded when it changes; nil if there is none.
    ///   - environment: the variables for a reloaded policy.
    ///   - beside: services to run alongside the gateway.
    ///   - onListening: called once all ports accept connections, with the gateway's URLs and, if there is one, the
    ///     address of the admin port.
    func run(
        watching path: String?, environment: [String: String], beside: [any Service] = [],
        onListening: @escaping @Sendable (_ gateways: [String], _ admin: String?) -> Void
    ) async throws {
        let log = log
        let logger = Logger(label: "weir") { JSONLogHandler(label: $0, writer: log) }
        let admin = settings.admin.flatMap { SocketText($0) }
        let listening = Listening(needsAdmin: admin != nil, onListening)
        let server = try Server(
            settings: settings, limiter: limiter, certificates: certificates, logger: logger, log: log,
            onListening: { listening.gateways($0.map(\.name)) })
        store?.onKeySecretChange { server.renewKeys() }
        // The store outlives the gateway, which drains its requests at the end.
        var services: [any Service] = [store].compactMap(\.self) + beside + [server]
        if let admin {
            services.append(
                AdminServer(
                    server: server, address: admin, hosts: settings.adminHosts, logger: logger,
                    onListening: { listening.admin(host: admin.host, port: $0) }))
        }
        if let path {
            services.append(PolicyWatcher(server: server, path: path, environment: environment, logger: logger))
        }
        if certificates != nil { services.append(CertificateWatcher(server: server, logger: logger)) }
        if let upstream = settings.upstream.flatMap({ Upstream($0) }) {
            services.append(ReadinessWatcher(server: server, upstream: upstream, logger: logger))
        }
        var configuration = ServiceGroupConfiguration(
            services: services.map {
                ServiceGroupConfiguration.ServiceConfiguration(
                    service: $0, successTerminationBehavior: .gracefullyShutdownGroup,
                    failureTerminationBehavior: .cancelGroup)
            },
            gracefulShutdownSignals: [.sigterm, .sigint],
            logger: logger)
        configuration.logger.logLevel = .warning
        defer {
            store?.close()
            log.flush()
        }
        try await ServiceGroup(configuration: configuration).run()
    }
}

/// Calls a closure once all ports are open.
final class Listening: Sendable {
    private struct State {
        var gateways: [String]?
        var admin: String?
    }

    private let state = Mutex(State())
    private let needsAdmin: Bool
    private let body: @Sendable ([String], String?) -> Void

    init(needsAdmin: Bool, _ body: @escaping @Sendable ([String], String?) -> Void) {
        self.needsAdmin = needsAdmin
        self.body = body
    }

    func gateways(_ names: [String]) { set { $0.gateways = names } }
    func admin(host: String, port: Int) { set { $0.admin = Self.text(host, port) } }

    private static func text(_ host: String, _ port: Int) -> String {
        host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
    }

    private func set(_ change: (inout State) -> Void) {
        let ready = state.withLock { state -> State? in
            change(&state)
            return state.gateways != nil && (state.admin != nil || !needsAdmin) ? state : nil
        }
        if let ready, let gateways = ready.gateways { body(gateways, ready.admin) }
    }
}
