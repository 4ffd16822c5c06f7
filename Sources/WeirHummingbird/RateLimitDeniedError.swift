public import HTTPTypes
public import Hummingbird
import NIOCore
public import WeirHTTP

/// The error of a request that ``RateLimit/check(_:key:cost:)`` stopped.
///
/// As a response it is the answer of the app's `onDenied`, or else Weir's: a problem (RFC 9457) with the limit headers
/// and Retry-After.
public struct RateLimitDeniedError: HTTPResponseError {
    /// The limit that denied the request, and when to try again.
    public let denial: Denial
    /// The limit headers and Retry-After.
    public let headers: HTTPFields
    private let body: String
    private let own: Response?

    init(denial: Denial, headers: HTTPFields, body: String, response: Response?) {
        self.denial = denial
        self.headers = headers
        self.body = body
        own = response
    }

    /// The headers without what describes Weir's own body.
    var limitHeaders: HTTPFields { headers.filter { $0.name != .contentType } }

    /// The status: 429, or 503 while the store fails and the policy says `deny`.
    public var status: HTTPResponse.Status { own?.status ?? .init(code: denial.status) }

    /// The app's own answer if it has one, else Weir's.
    public func response(from request: Request, context: some RequestContext) throws -> Response {
        guard var response = own else {
            return Response(status: status, headers: headers, body: ResponseBody(byteBuffer: ByteBuffer(string: body)))
        }
        for field in limitHeaders where response.headers[field.name] == nil {
            response.headers.append(field)
        }
        return response
    }
}
