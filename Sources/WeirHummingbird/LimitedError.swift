public import HTTPTypes
public import Hummingbird

/// A handler's error whose response also carries the limit headers.
///
/// Middlewares outside ``RateLimitMiddleware`` see it in place of the handler's own error. Hummingbird's `HTTPError`
/// carries the headers itself and isn't wrapped. Errors that are no `HTTPResponseError` aren't wrapped either.
public struct LimitedError: HTTPResponseError {
    /// The error that the handler threw.
    public let original: any HTTPResponseError
    let headers: HTTPFields

    /// The original error's status.
    public var status: HTTPResponse.Status { original.status }

    /// The original error's response, with the limit headers.
    ///
    /// - Throws: what the original error throws when it can't make its response.
    public func response(from request: Request, context: some RequestContext) throws -> Response {
        var response = try original.response(from: request, context: context)
        for field in headers { response.headers[field.name] = nil }
        response.headers.append(contentsOf: headers)
        return response
    }
}
