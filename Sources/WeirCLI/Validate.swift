import ArgumentParser
import Foundation
import WeirServer
import WeirHTTP
import WeirRedis

struct Validate: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Check a policy and report its errors and warnings.",
        discussion: "Exits with 0 if the policy can be used, and with 2 if it has errors or, with --strict, warnings."
    )

    @Argument(help: "The policy file.")
    var file = "weir.yaml"

    @Flag(help: "Treat warnings as errors.")
    var strict = false

    func run() async throws {
        do {
            let environment = try await Settings.environment()
            let loaded = try await LoadedPolicy.load(file, environment: environment)
            for warning in loaded.warnings { complain(warning.description) }
            if strict, !loaded.warnings.isEmpty { throw policyErrorCode }
            if case .shared(let url) = loaded.policy.server.store {
                do {
                    _ = try RedisAddress(url)
                } catch {
                    complain("\(file): error: 'store': \(error)")
                    throw policyErrorCode
                }
            }
            let count = loaded.policy.limits.count
            print("\(file): ok, \(count) limit\(count == 1 ? "" : "s")")
        } catch let error as PolicyError {
            complain(error.description)
            throw policyErrorCode
        }
    }
}
