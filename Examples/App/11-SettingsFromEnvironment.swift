import Hummingbird
import Weir
import WeirHTTP
import WeirHummingbird

/// The limit's numbers come from the environment or, where it doesn't set them, from `.env` in the working directory.
///
/// By hand: `int(os.getenv("RATE_LIMIT") or 0)`. `60/minute` crashes at the first request, and with an empty value or a
/// misspelled name there is no limit at all.
///
/// Here the policy refers to variables as `${NAME}`. A missing or invalid value is an error at startup, with its line.
enum SettingsFromEnvironment: Example {
    static let title = "settings from the environment and .env"

    static func router(_ surroundings: Surroundings) async throws -> Router<RemoteAddressContext> {
        var surroundings = surroundings
        // A missing file is fine, an invalid one is an error.
        let file = try await Environment.dotEnv(surroundings.variables["ENV_FILE"] ?? ".env")
        for name in ["PREDICT_RATE", "BYPASS_SECRET"] where surroundings.variables[name] == nil {
            surroundings.variables[name] = file.get(name)
        }
        let router = Router(context: RemoteAddressContext.self)
        router.add(middleware: RateLimitMiddleware(try surroundings.limiter("11-environment")))
        router.addModel("predict", "small")
        return router
    }
}
