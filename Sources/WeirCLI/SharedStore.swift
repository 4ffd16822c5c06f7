import Foundation
import Logging
import WeirServer
import WeirHTTP
import WeirRedis

/// Connects to the shared store in the settings.
enum SharedStore {
    /// The longest time that a start waits for the store, in microseconds.
    private static let patience: Int64 = 3_000_000

    /// Connects to the store.
    ///
    /// - Parameters:
    ///   - settings: the server's settings, which hold the store's URL.
    ///   - environment: the environment, for the secret `WEIR_KEY_SECRET`.
    ///   - isRequired: whether it is an error if the store can't be reached. Otherwise Weir starts without it and keeps
    ///     trying to connect.
    /// - Returns: the store, or nil if counters are kept in memory.
    /// - Throws: ``SettingsError`` if the URL or the secret is invalid, or if a required store can't be reached.
    static func open(
        _ settings: ServerSettings, _ environment: [String: String], isRequired: Bool
    ) async throws -> RedisStore? {
        guard case .shared(let url) = settings.store else { return nil }
        let address: RedisAddress
        let store: RedisStore
        var options = RedisStore.Options()
        options.keySecret = try Settings.keySecret(environment)
        let log = LineWriter(descriptor: 2)
        let logger = Logger(label: "weir.store") { JSONLogHandler(label: $0, writer: log) }
        do {
            address = try RedisAddress(url)
            store = try RedisStore(address, options: options, logger: logger)
        } catch let error {
            throw SettingsError("\(error)", code: .store, cause: error)
        }
        do {
            try await store.waitUntilReady(timeout: patience)
        } catch let failure {
            let message = "the store \(address) can't be used: \(failure)"
            guard !isRequired else {
                store.close()
                throw SettingsError(message, code: .store, cause: failure)
            }
            complain("weir: \(message); starting without it, with 'on_store_failure' in effect, and trying again")
        }
        return store
    }
}
