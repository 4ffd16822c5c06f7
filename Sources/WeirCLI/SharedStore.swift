import Foundation
import Logging
import WeirServer
import WeirHTTP
import WeirRedis

/// Connects to the shared store in the settings.
enum SharedStore {
    /// The longest time that a start waits for the store, in microseconds.
    private static let patience = Duration.seconds(3)

    /// Connects to the store.
    ///
    /// - Parameters:
    ///   - policy: the policy, which names the store's URL.
    ///   - environment: the environment, for the secret `WEIR_KEY_SECRET`.
    ///   - isRequired: whether it is an error if the store can't be reached. Otherwise Weir starts without it and keeps
    ///     trying to connect.
    /// - Returns: the store, or nil if counters are kept in memory.
    /// - Throws: ``SettingsError`` if the URL or the secret is invalid, or if a required store can't be reached.
    static func open(
        _ policy: Policy, _ environment: [String: String], isRequired: Bool
    ) async throws -> RedisStore? {
        guard case .shared(let url) = policy.store.kind else { return nil }
        let store: RedisStore
        let log = LineWriter(descriptor: 2)
        let logger = Logger(label: "weir.store") { JSONLogHandler(label: $0, writer: log) }
        do {
            var configuration = try RedisConfiguration(url: url)
            configuration.keySecret = try Settings.keySecret(environment)
            store = try RedisStore(configuration, logger: logger)
        } catch let error {
            throw SettingsError("\(error)", code: .store, cause: error)
        }
        store.start()
        do {
            try await store.waitUntilReady(timeout: patience)
        } catch let failure {
            let message = "the store \(store.configuration) can't be used: \(failure)"
            guard !isRequired else {
                store.close()
                throw SettingsError(message, code: .store, cause: failure)
            }
            complain("weir: \(message); starting without it, with 'on_store_failure' in effect, and trying again")
        }
        return store
    }
}
