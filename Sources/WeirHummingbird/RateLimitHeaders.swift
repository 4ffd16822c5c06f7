import HTTPTypes
public import Hummingbird
import Synchronization

/// Puts the limit headers onto responses that are made of errors.
///
/// Add it first, outside of the middleware that makes responses of the app's errors:
///
/// ```swift
/// router.add(middleware: RateLimitHeaders())
/// router.add(middleware: ErrorMiddleware())                  // the app's own, before or after the next
/// router.add(middleware: RateLimitMiddleware(limiter))
/// ```
///
/// ``RateLimitMiddleware`` adds the headers to the responses that it sees. It doesn't change what a handler throws, so
/// without this middleware, a response that is made of an error further outside has none.
///
/// An error that makes no response (one that isn't an `HTTPResponseError`) is rethrown, and Hummingbird answers it with
/// a bare 500.
public struct RateLimitHeaders<Context: RequestContext>: RouterMiddleware {
    /// Creates the middleware.
    public init() {}

    /// Passes the request on, and adds the headers to the response, or to the one that an error makes.
    public func handle(
        _ request: Request, context: Context, next: (Request, Context) async throws -> Response
    ) async throws -> Response {
        let carried = CarriedHeaders()
        var response: Response
        do {
            response = try await CarriedHeaders.$ofRequest.withValue(carried) { try await next(request, context) }
        } catch let error as any HTTPResponseError {
            let headers = carried.headers
            if headers.isEmpty { throw error }
            response = try error.response(from: request, context: context)
        }
        let headers = carried.headers
        for field in headers { response.headers[field.name] = nil }
        response.headers.append(contentsOf: headers)
        return response
    }
}

/// The limit headers of a request whose handler threw, on their way to ``RateLimitHeaders``.
final class CarriedHeaders: Sendable {
    /// Those of the present request; nil when no ``RateLimitHeaders`` encloses it.
    @TaskLocal static var ofRequest: CarriedHeaders?

    private let fields = Mutex(HTTPFields())

    var headers: HTTPFields { fields.withLock { $0 } }

    func set(_ headers: HTTPFields) { fields.withLock { $0 = headers } }
}
