public import HTTPTypes
public import Hummingbird

/// A handler's error that makes a response, with that response's headers about limits.
///
/// Middlewares outside ``RateLimitMiddleware`` see it in place of the handler's own error. Hummingbird's `HTTPError` gets
/// the headers itself, and an error that is no `HTTPResponseError` is left alone: neither is wrapped.
public struct LimitedError: HTTPResponseError {
    /// What the handler threw.
    public let original: any HTTPResponseError
    let headers: HTTPFields

    public var status: HTTPResponse.Status { original.status }

    public func response(from request: Request, context: some RequestContext) throws -> Response {
        var response = try original.response(from: request, context: context)
        for field in headers { response.headers[field.name] = nil }
        response.headers.append(contentsOf: headers)
        return response
    }
}
