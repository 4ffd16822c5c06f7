import Hummingbird
import Logging

/// The error of a request that passes one middleware twice, because the app added the same value at two levels. The
/// request would be charged twice.
struct NestedMiddlewareError: Error, CustomStringConvertible {
    let description =
        "a RateLimitMiddleware encloses itself, so every request would be charged twice: make one for each level"

    static func log(_ logger: Logger) -> NestedMiddlewareError {
        let error = NestedMiddlewareError()
        logger.critical("\(error)")
        return error
    }
}
