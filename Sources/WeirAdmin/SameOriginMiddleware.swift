import HTTPTypes
import Hummingbird
import WeirHTTP

/// Answers only requests that name this host by an address, or by a name that no other site can take. Otherwise, a web
/// page could reach a loopback port through a name that it resolves to that port's address.
struct SameOriginMiddleware<Context: RequestContext>: RouterMiddleware {
    /// The names by which it may be addressed, in lower case.
    let hosts: [String]

    func handle(
        _ request: Request, context: Context, next: (Request, Context) async throws -> Response
    ) async throws -> Response {
        let authority = request.head.authority ?? ""
        guard let socket = SocketText(authority, defaultPort: 80),
            IPAddress(socket.host) != nil || hosts.contains(socket.host.lowercased())
        else { return Response(status: .forbidden) }
        if let origin = request.headers[.origin], origin != "http://\(authority)", origin != "https://\(authority)" {
            return Response(status: .forbidden)
        }
        return try await next(request, context)
    }
}
