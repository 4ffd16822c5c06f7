import Configuration
import Foundation
import WeirHTTP

/// Settings from the environment and `.env` that override the policy's, such as `WEIR_LISTEN` and `WEIR_UPSTREAM`.
enum Settings {
    /// Returns the process's environment, with variables from `.env` in the working directory where it has none.
    static func environment() async throws -> [String: String] {
        var environment = ProcessInfo.processInfo.environment
        guard let text = try? String(contentsOfFile: ".env", encoding: .utf8) else { return environment }
        for line in text.split(whereSeparator: \.isNewline) {
            let trimmed = line.drop(while: \.isWhitespace)
            guard !trimmed.hasPrefix("#"), let equals = trimmed.firstIndex(of: "=") else { continue }
            let name = trimmed[..<equals].filter { !$0.isWhitespace }
            if environment[name] == nil { environment[name] = unquoted(trimmed[trimmed.index(after: equals)...]) }
        }
        return environment
    }

    /// The variables that Weir reads.
    private static let names = [
        "WEIR_LISTEN", "WEIR_UPSTREAM", "WEIR_ADMIN", "WEIR_THREADS", "WEIR_STORE", "WEIR_KEY_SECRET",
    ]

    /// Warns of variables that are probably mistyped. A policy may name any other.
    static func warnings(_ environment: [String: String]) -> [String] {
        environment.keys.sorted().compactMap { name in
            guard name.hasPrefix("WEIR_"), !names.contains(name) else { return nil }
            let suggestion = Suggestion.text(for: name, among: names)
            return suggestion.isEmpty ? nil : "Weir reads no variable '\(name)'\(suggestion)"
        }
    }

    /// Returns a value without surrounding blanks and quotes.
    private static func unquoted(_ text: Substring) -> String {
        let value = text.trimmingCharacters(in: .whitespaces)
        for quote in ["\"", "'"] where value.count > 1 && value.hasPrefix(quote) && value.hasSuffix(quote) {
            return String(value.dropFirst().dropLast())
        }
        return value
    }

    /// Returns the secret by which keys and clients are hashed, or nil if there is none.
    ///
    /// - Throws: ``SettingsError`` if it is too short.
    static func keySecret(_ environment: [String: String]) throws -> String? {
        guard let secret = environment["WEIR_KEY_SECRET"], !secret.isEmpty else { return nil }
        guard secret.utf8.count >= 16 else {
            throw SettingsError("WEIR_KEY_SECRET must have at least 16 characters")
        }
        return secret
    }

    /// Overrides the policy's settings with those of the environment. Empty variables count as unset.
    ///
    /// - Throws: ``SettingsError`` if a variable is invalid.
    static func apply(_ environment: [String: String], to policy: inout Policy) throws {
        let provider = EnvironmentVariablesProvider(environmentVariables: environment)
        let settings = ConfigReader(provider: provider).scoped(to: "weir")
        func address(_ key: String, _ variable: String) throws -> String? {
            guard let text = settings.string(forKey: ConfigKey(key)), !text.isEmpty else { return nil }
            guard SocketText(text) != nil else {
                throw SettingsError(
                    "\(variable) must be an address and a port such as 127.0.0.1:8080, not '\(text)'")
            }
            return text
        }
        if let text = settings.string(forKey: "listen"), !text.isEmpty {
            policy.gateway.listen = try text.split(separator: ",").map { part in
                let text = part.trimmingCharacters(in: .whitespaces)
                guard let address = ListenAddress(text) else {
                    throw SettingsError("WEIR_LISTEN must be \(ListenAddress.expectation), not '\(text)'")
                }
                return address
            }
        }
        if policy.gateway.tls.isEmpty, let address = policy.gateway.listen.first(where: \.needsCertificate) {
            throw SettingsError("'\(address)' in WEIR_LISTEN needs a certificate: set 'tls' in the policy")
        }
        if settings.string(forKey: "admin") == "off" {
            policy.gateway.admin = nil
        } else if let admin = try address("admin", "WEIR_ADMIN") {
            policy.gateway.admin = admin
        }
        if let upstream = settings.string(forKey: "upstream"), !upstream.isEmpty {
            guard Upstream(upstream) != nil else {
                throw SettingsError(
                    "WEIR_UPSTREAM must be a URL such as http://127.0.0.1:8000, not '\(upstream)'")
            }
            policy.gateway.upstream = upstream
        }
        if let threads = settings.string(forKey: "threads"), !threads.isEmpty {
            guard let number = Int(threads), (1...1024).contains(number) else {
                throw SettingsError("WEIR_THREADS must be a whole number from 1 to 1024, not '\(threads)'")
            }
            policy.gateway.threads = number
        }
        if let store = settings.string(forKey: "store"), !store.isEmpty {
            policy.store = store == "memory" ? .memory() : .shared(url: store)
        }
    }
}
