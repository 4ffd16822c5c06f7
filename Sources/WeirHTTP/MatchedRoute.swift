/// The route that an app's own router found for a request.
public struct MatchedRoute: Sendable, Hashable {
    /// The template, spelled as in a policy, such as `/users/{id}`. A rule whose path matches it applies however the
    /// request spelled its path. For limits without a path, it is the value of the key `route`.
    public var template: String?
    /// The path that the router read from the request, if it differs from the policy's reading.
    public var path: String?
    /// Creates a route from its template, and the router's path if it differs from the policy's reading.
    public init(template: String?, path: String? = nil) {
        self.template = template
        self.path = path
    }
}
