import Hummingbird
import Weir
import WeirHTTP
import WeirHummingbird

/// The limit's numbers come from the environment, and from a `.env` file in the working directory where the environment is silent.
///
/// By hand: `int(os.getenv("RATE_LIMIT") or 0)`, where `60/minute` is a crash at the first request, and an empty value or a
/// misspelled name no limit at all. Here a policy names what it needs as `${NAME}`, and what is missing or makes no sense is an error at start,
/// with its line.
enum SettingsFromEnvironment: Example {
    static let title = "settings from the environment and .env"

    static func router(_ surroundings: Surroundings) async throws -> Router<ClientContext> {
        var surroundings = surroundings
        // Nothing when there is no such file; one that makes no sense is an error.
        let file = try await Environment.dotEnv(surroundings.variables["ENV_FILE"] ?? ".env")
        for name in ["PREDICT_RATE", "BYPASS_SECRET"] where surroundings.variables[name] == nil {
            surroundings.variables[name] = file.get(name)
        }
        let router = Router(context: ClientContext.self)
        router.add(middleware: RateLimitMiddleware(try surroundings.limiter("11-environment")))
        router.addModel("predict", "small")
        return router
    }
}
