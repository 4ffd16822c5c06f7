import Foundation
import Hummingbird
import Logging
import Weir
import WeirHTTP
import WeirHummingbird
import WeirRedis

/// Rate limits that people build by hand in front of their models, built with Weir. `swift run Examples 4` starts the
/// fourth.
@main
struct Examples {
    /// All examples, in the order of README.md.
    static let all: [any (Example & SendableMetatype).Type] = [
        PerClientAndEndpoint.self, PerUserAndMinute.self, SlidingWindowPerKey.self, TokenBucketOnRedis.self,
        TiersFromRedis.self, PremiumEndpoints.self, ModelsByWeight.self, WarmingUp.self, SteadyDownstream.self,
        HealthAndBypass.self, SettingsFromEnvironment.self, LanguageModelTokens.self,
    ]

    static func main() async {
        guard let number = CommandLine.arguments.dropFirst().first.flatMap({ Int($0) }),
            all.indices.contains(number - 1)
        else {
            print("Usage: swift run Examples NUMBER\n")
            print("Examples on Redis use REDIS_URL. All of them listen on PORT, or 8080 if it isn't set.\n")
            for (index, example) in all.enumerated() { print("  \(index + 1)  \(example.title)") }
            return
        }
        do {
            try await serve(all[number - 1])
        } catch {
            FileHandle.standardError.write(Data("\(error)\n".utf8))
            exit(1)
        }
    }

    private static func serve(_ example: any (Example & SendableMetatype).Type) async throws {
        let variables = ProcessInfo.processInfo.environment
        var surroundings = Surroundings(variables: variables)
        let port = variables["PORT"].flatMap { Int($0) } ?? 8080
        let configuration = ApplicationConfiguration(address: .hostname("127.0.0.1", port: port))
        guard example.needsRedis else {
            let app = Application(router: try await example.router(surroundings), configuration: configuration)
            return try await app.runService()
        }
        let url = variables["REDIS_URL"] ?? "redis://127.0.0.1:6379"
        let store = try RedisStore(RedisConfiguration(url: url))
        surroundings.store = store
        var app = Application(router: try await example.router(surroundings), configuration: configuration)
        app.addServices(store)
        app.beforeServerStarts { try await store.waitUntilReady(timeout: .seconds(5)) }
        try await app.runService()
    }
}

/// An example.
protocol Example {
    /// The title in the list of examples.
    static var title: String { get }
    /// Whether the example counts in Redis.
    static var needsRedis: Bool { get }
    static func router(_ surroundings: Surroundings) async throws -> Router<RemoteAddressContext>
}

extension Example {
    static var needsRedis: Bool { false }
}

/// The dependencies of an example. Tests can replace them.
struct Surroundings: Sendable {
    var store: (any Store)?
    var clock: any TickClock = SystemClock()
    var variables: [String: String] = [:]
    /// The logger for denials, separate from everything else.
    var denials = Logger(label: "denials")

    /// Returns a limiter with a policy in `Examples/Policies`. The same file works with `weir serve`.
    func limiter(_ policy: String) throws -> RequestLimiter {
        let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appending(path: "../Policies")
            .standardized
        let environment = ["REDIS_URL": "redis://127.0.0.1:6379"].merging(variables) { $1 }
        return try RequestLimiter(
            policy: Policy(contentsOf: folder.appending(path: "\(policy).yaml").path, environment: environment),
            store: store,
            clock: clock)
    }
}

extension Router<RemoteAddressContext> {
    /// Adds a route for a model, which takes `{"inputs": […]}` and returns their lengths.
    func addModel(_ path: RouterPath, _ name: String) {
        post(path) { request, context in try await predict(request, context, name) }
    }
}

struct Prediction: ResponseEncodable {
    var model: String
    var outputs: [Int]
}

struct Inputs: Decodable {
    var inputs: [String]
}

func predict(_ request: Request, _ context: some RequestContext, _ model: String) async throws -> Prediction {
    let inputs = try await request.decode(as: Inputs.self, context: context)
    return Prediction(model: model, outputs: inputs.inputs.map(\.count))
}
