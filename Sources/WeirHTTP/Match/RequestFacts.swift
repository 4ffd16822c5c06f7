/// What rules are held against.
struct RequestFacts {
    /// Upper case.
    var sentMethod: String
    var path: String
    /// Lower case, without a port.
    var host: String?
    var tier: String?
    var address: IPAddress
    /// In an app: the route that its router found.
    var route: MatchedRoute?

    /// HEAD counts as GET.
    var method: String { sentMethod == "HEAD" ? "GET" : sentMethod }

    /// The path as whoever handles the request reads it.
    var routedPath: String { route?.path ?? path }
}
