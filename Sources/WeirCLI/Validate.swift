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

    @OptionGroup var policy: PolicyOption

    @Argument(help: "The policy file, without --config.")
    var argument: String?

    @Flag(help: "Treat warnings as errors.")
    var strict = false

    func validate() throws { try policy.check(argument) }

    func run() async throws {
        let file = policy.path(argument)
        do {
            let environment = try await Settings.environment()
            var warnings = Settings.warnings(environment).map { "\(file): warning: \($0)" }
            let loaded = try await LoadedPolicy.load(file, environment: environment)
            warnings += loaded.warnings.map(\.description)
            if loaded.policy.gateway.upstream == nil, environment["WEIR_UPSTREAM"] ?? "" == "" {
                warnings.append("\(file): warning: there is no 'upstream', which 'weir serve' needs; an app needs none")
            }
            for warning in warnings { complain(warning) }
            if strict, !warnings.isEmpty { throw policyErrorCode }
            if case .shared(let url) = loaded.policy.store.kind {
                do {
                    _ = try RedisConfiguration(url: url)
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
