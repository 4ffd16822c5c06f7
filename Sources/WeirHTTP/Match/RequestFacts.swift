/// The parts of a request that rules are matched against.
struct RequestFacts {
    /// The method as sent, such as `GET`.
    var sentMethod: String
    /// The path to match, decoded.
    var path: String
    /// Other readings of a lenient path.
    var otherReadings: [String] = []
    /// The host in lower case, without a port.
    var host: String?
    var tier: String?
    /// The client's address.
    var address: IPAddress
    /// The route that the app's router found, nil outside an app.
    var route: MatchedRoute?

    /// The method that rules are matched against: HEAD counts as GET.
    var method: String { sentMethod == "HEAD" ? "GET" : sentMethod }

    /// The path as the request's handler sees it.
    var routedPath: String { route?.path ?? path }
}
