import ArgumentParser
import Foundation
import WeirServer
import WeirHTTP
import WeirRedis

struct Validate: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Check a policy and say what is wrong with it.",
        discussion: "Exits with 0 when the policy can be used, with 2 when it has errors (or warnings, with --strict)."
    )

    @Argument(help: "The policy.")
    var file = "weir.yaml"

    @Flag(help: "Count warnings as errors.")
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
